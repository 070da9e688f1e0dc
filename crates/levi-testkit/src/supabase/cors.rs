//! Pages of another address may ask, as on hosted Supabase.

use super::http::{Request, Response};

/// The answer to a browser that asks whether a page may send a request.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    let asked = request.header("access-control-request-headers").unwrap_or("*");
    let is_preflight =
        request.method == "OPTIONS" && request.header("access-control-request-method").is_some();
    is_preflight.then(|| {
        Response::empty(200)
            .header("Access-Control-Allow-Methods", "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD")
            .header("Access-Control-Allow-Headers", asked)
            .header("Access-Control-Max-Age", "3600")
    })
}

/// Lets the page that sent the request read the answer.
pub(crate) fn readable(request: &Request, response: Response) -> Response {
    if request.header("origin").is_none() {
        return response;
    }
    response
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Expose-Headers", "Content-Range, Content-Location, Retry-After")
}
