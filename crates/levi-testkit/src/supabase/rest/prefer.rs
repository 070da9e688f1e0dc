//! The `Prefer` and `Accept` headers, as far as clients of Levi's tables use them.

use super::insert::Missing;
use crate::supabase::http::{Request, Response};

/// What an insert does with an existing row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    Merge,
    Ignore,
}

/// What a write answers with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    Minimal,
    Representation,
}

/// The preferences of one request.
pub(crate) struct Prefer {
    pub(crate) resolution: Option<Resolution>,
    pub(crate) returning: Return,
    pub(crate) missing: Missing,
    pub(crate) count_exact: bool,
    /// `Accept: application/vnd.pgrst.object+json`
    pub(crate) single_object: bool,
    applied: Vec<&'static str>,
}

impl Prefer {
    pub(crate) fn of(request: &Request) -> Self {
        let single_object = request.header("accept").is_some_and(|a| a.contains("vnd.pgrst.object"));
        let mut prefer = Self {
            resolution: None,
            returning: Return::Minimal,
            missing: Missing::Null,
            count_exact: false,
            single_object,
            applied: Vec::new(),
        };
        let headers = request.headers.iter().filter(|(name, _)| name == "prefer");
        for word in headers.flat_map(|(_, value)| value.split(',')) {
            prefer.take(word.trim());
        }
        prefer
    }

    fn take(&mut self, word: &str) {
        let known = match word {
            "resolution=merge-duplicates" => {
                self.resolution = Some(Resolution::Merge);
                "resolution=merge-duplicates"
            }
            "resolution=ignore-duplicates" => {
                self.resolution = Some(Resolution::Ignore);
                "resolution=ignore-duplicates"
            }
            "return=minimal" => {
                self.returning = Return::Minimal;
                "return=minimal"
            }
            "return=representation" => {
                self.returning = Return::Representation;
                "return=representation"
            }
            "missing=default" => {
                self.missing = Missing::Default;
                "missing=default"
            }
            "count=exact" => {
                self.count_exact = true;
                "count=exact"
            }
            // PostgREST ignores unknown preferences without `handling=strict`.
            _ => return,
        };
        self.applied.push(known);
    }

    pub(crate) fn applied_to(&self, response: Response) -> Response {
        if self.applied.is_empty() {
            return response;
        }
        response.header("Preference-Applied", self.applied.join(", "))
    }
}
