//! Signs up a new user (`/auth/v1/signup` of Supabase's sign-in server). Only the demo does this: a
//! daemon's users sign up in the app.

use std::time::Duration;

use levi::{HttpOptions, SecretString};

use crate::error::CliError;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Signs a user up. Some projects let a user sign in only after the address is confirmed.
pub(crate) async fn sign_up(
    http: &HttpOptions,
    email: &str,
    password: &SecretString,
) -> Result<(), CliError> {
    let url = format!("{}/auth/v1/signup", http.api_url.trim_end_matches('/'));
    let key = http.publishable_key.clone();
    // Exposed because the sign-in server needs the password.
    let body = serde_json::json!({ "email": email, "password": password.expose() }).to_string();
    let request = move || {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let post = agent.post(&url).header("apikey", &key).header("Content-Type", "application/json");
        post.send(body).map(|response| response.status().as_u16())
    };
    match tokio::task::spawn_blocking(request).await? {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(CliError::Demo(format!(
            "the project refuses to sign {email} in or up (HTTP {status}); give --email and LEVI_PASSWORD of an existing user"
        ))),
        Err(error) => Err(CliError::Demo(format!("the project does not answer: {error}"))),
    }
}
