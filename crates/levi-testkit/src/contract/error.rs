/// Why a run could not be carried out. It does not tell whether the contract holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// There was no answer.
    #[error("no answer to {request}: {source}")]
    NoAnswer {
        /// Method and table.
        request: String,
        /// The reason.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A preparation was refused, or its answer was unreadable.
    #[error("{what} failed: HTTP {status} {detail}")]
    Preparation {
        /// The preparation.
        what: String,
        /// HTTP status.
        status: u16,
        /// The server's error message, shortened.
        detail: String,
    },
    /// A thread that wrote beside the others panicked.
    #[error("a concurrent writer panicked")]
    Writer,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}
