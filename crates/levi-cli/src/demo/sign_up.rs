//! A new user on a project that lets people sign up (GoTrue, `/auth/v1/signup`).

use std::time::Duration;

use levi::{HttpOptions, SecretString};

use crate::error::CliError;

const PATIENCE: Duration = Duration::from_secs(30);

/// Signs a user up. Whether the user may sign in without confirming the address is the project's decision.
pub(crate) async fn sign_up(
    http: &HttpOptions,
    email: &str,
    password: &SecretString,
) -> Result<(), CliError> {
    let url = format!("{}/auth/v1/signup", http.api_url.trim_end_matches('/'));
    let key = http.publishable_key.clone();
    // Exposed to be sent to the sign-in server, which is what the password is for.
    let body = serde_json::json!({ "email": email, "password": password.expose() }).to_string();
    let request = move || {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let post = agent.post(&url).header("apikey", &key).header("Content-Type", "application/json");
        post.send(body).map(|response| response.status().as_u16())
    };
    let answered = tokio::task::spawn_blocking(request).await;
    let status = answered.map_err(|_| CliError::Demo("the demo was cut short".to_owned()))?;
    match status {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(CliError::Demo(format!(
            "the project does not let {email} sign in or up (HTTP {status}); give --email and LEVI_PASSWORD of a user that it has"
        ))),
        Err(error) => Err(CliError::Demo(format!("the project does not answer: {error}"))),
    }
}
