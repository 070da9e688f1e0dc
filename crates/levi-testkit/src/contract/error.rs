/// Why a case, or the whole run, could not be carried out. It says nothing about the contract.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// No answer came.
    #[error("no answer to {request}: {source}")]
    NoAnswer {
        /// Method and table.
        request: String,
        /// What happened instead.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A request that only prepares was refused, or answered with something unreadable.
    #[error("{what} failed: HTTP {status} {detail}")]
    Preparation {
        /// What was being prepared.
        what: String,
        /// HTTP status.
        status: u16,
        /// The server's words, shortened.
        detail: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}
