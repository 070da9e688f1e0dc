use levi_transport::Verdict;

use super::client::Reply;
use super::environment::Environment;
use super::error::ContractError;
use super::target::Server;

/// How Levi classifies an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Accepted,
    Refused(Verdict),
    SignedIn,
    SignInRefused,
}

impl Meaning {
    pub(super) fn name(self) -> String {
        match self {
            Self::Accepted => "Accepted".to_owned(),
            Self::Refused(verdict) => format!("{verdict:?}"),
            Self::SignedIn => "signed in".to_owned(),
            Self::SignInRefused => "sign-in refused".to_owned(),
        }
    }
}

/// What a case observed.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) meaning: Meaning,
    pub(super) detail: String,
    /// What the tables hold, if it is not what the case expects.
    pub(super) effect: Option<String>,
}

impl Seen {
    /// An answer of `/rest/v1`.
    pub(super) fn rest(reply: &Reply) -> Self {
        let (meaning, code, detail) = match reply.result() {
            Ok(()) => (Meaning::Accepted, reply.status.to_string(), String::new()),
            Err(error) => (Meaning::Refused(error.verdict), error.code, error.detail),
        };
        Self { status: reply.status, code, meaning, detail, effect: None }
    }

    /// An answer of `/auth/v1/token`.
    pub(super) fn auth(reply: &Reply) -> Self {
        let body = reply.json();
        let signed_in = reply.status == 200 && body["access_token"].is_string();
        let meaning = if signed_in { Meaning::SignedIn } else { Meaning::SignInRefused };
        let code = body["error_code"].as_str().map_or_else(|| reply.status.to_string(), str::to_owned);
        let detail = if signed_in { String::new() } else { reply.detail() };
        Self { status: reply.status, code, meaning, detail, effect: None }
    }

    /// Notes a difference between `found` and `expected`, unless one was noted before.
    pub(super) fn effect<T: PartialEq + std::fmt::Debug>(
        mut self,
        what: &str,
        found: T,
        expected: T,
    ) -> Self {
        if found != expected && self.effect.is_none() {
            self.effect = Some(format!("{what}: {found:?} instead of {expected:?}"));
        }
        self
    }
}

/// How one server is known to differ from the contract, and why.
#[derive(Clone, Copy)]
pub(super) struct Difference {
    server: Server,
    meaning: Meaning,
    code: &'static str,
    effect: Option<&'static str>,
    pub(super) why: &'static str,
}

type Run = Box<dyn Fn(&Environment<'_>) -> Result<Seen, ContractError>>;

/// One case of the contract.
pub(super) struct Case {
    pub(super) group: &'static str,
    pub(super) name: String,
    pub(super) meaning: Meaning,
    /// The documented codes. Empty if any code will do.
    pub(super) codes: &'static [&'static str],
    pub(super) needs_expired_token: bool,
    differences: Vec<Difference>,
    run: Run,
}

impl Case {
    pub(super) fn new(
        group: &'static str,
        name: impl Into<String>,
        run: impl Fn(&Environment<'_>) -> Result<Seen, ContractError> + 'static,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            meaning: Meaning::Accepted,
            codes: &[],
            needs_expired_token: false,
            differences: vec![],
            run: Box::new(run),
        }
    }

    pub(super) fn means(mut self, verdict: Verdict, codes: &'static [&'static str]) -> Self {
        (self.meaning, self.codes) = (Meaning::Refused(verdict), codes);
        self
    }

    pub(super) fn signs_in(mut self) -> Self {
        self.meaning = Meaning::SignedIn;
        self
    }

    pub(super) fn refuses_sign_in(mut self, codes: &'static [&'static str]) -> Self {
        (self.meaning, self.codes) = (Meaning::SignInRefused, codes);
        self
    }

    pub(super) const fn with_an_expired_token(mut self) -> Self {
        self.needs_expired_token = true;
        self
    }

    /// Lists a known difference of `server`. One of Supabase Lite is one on PostgreSQL too, unless
    /// that has its own.
    pub(super) fn differs(
        mut self,
        server: Server,
        (meaning, code): (Meaning, &'static str),
        effect: Option<&'static str>,
        why: &'static str,
    ) -> Self {
        self.differences.push(Difference { server, meaning, code, effect, why });
        self
    }

    pub(super) fn run(&self, env: &Environment<'_>) -> Result<Seen, ContractError> {
        (self.run)(env)
    }

    pub(super) fn difference(&self, server: Server) -> Option<Difference> {
        let of = |server| self.differences.iter().find(|difference| difference.server == server).copied();
        match server {
            Server::LiteOnPostgres => of(server).or_else(|| of(Server::Lite)),
            _ => of(server),
        }
    }

    /// Whether the contract holds.
    pub(super) fn holds(&self, seen: &Seen) -> bool {
        let code = self.codes.is_empty() || self.codes.contains(&seen.code.as_str());
        self.meaning == seen.meaning && code && seen.effect.is_none()
    }
}

impl Difference {
    /// Whether the observation is exactly this difference.
    pub(super) fn is(&self, seen: &Seen) -> bool {
        self.meaning == seen.meaning && self.code == seen.code && self.effect == seen.effect.as_deref()
    }
}
