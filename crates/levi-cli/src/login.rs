//! Signing in and out.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;

use clap::Args;
use levi::{HttpOptions, HttpSignIn, RefreshingAuth, SecretString, SignIn as _, Tokens};
use serde::{Deserialize, Serialize};

use crate::args::{DataArgs, ProjectArgs};
use crate::connection;
use crate::console::Console;
use crate::device::{self, Description};
use crate::error::CliError;
use crate::exit::Exit;
use crate::home::{self, Home, Project};

/// More than any tokens or password take, in bytes.
const MAX_STDIN: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The user's email address; asked for where it is missing.
    #[arg(long, env = "LEVI_EMAIL")]
    email: Option<String>,
    /// Read the password from stdin instead of asking for it.
    #[arg(long, conflicts_with = "tokens_stdin")]
    password_stdin: bool,
    /// Read {"access_token", "refresh_token", "user_id"} from stdin, for sign-in flows other than a password.
    #[arg(long)]
    tokens_stdin: bool,
    /// What people call this device. Default: the machine's name.
    #[arg(long)]
    device_name: Option<String>,
    /// What it is, such as desktop or phone.
    #[arg(long, default_value = "desktop")]
    device_type: String,
}

#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Serialize)]
struct SignedIn<'a> {
    url: &'a str,
    user_id: &'a str,
    device_id: &'a str,
}

pub(crate) async fn login(args: LoginArgs, console: Console) -> Result<Exit, CliError> {
    let folder = home::folder(args.data.data_dir.as_deref());
    let known = home::project(&folder)?;
    let http = connection::address(&args.project, known.as_ref())?;
    let sign_in = Arc::new(HttpSignIn::new(&http)?);
    let tokens = if args.tokens_stdin {
        tokens_from_stdin()?
    } else {
        let email = email(&args)?;
        let password = password(&args)?;
        sign_in.with_password(&email, &password).await?
    };
    if known.is_some_and(|known| known.user_id != tokens.user_id) {
        // What lies in this folder's outbox is the other user's, and would be refused as this one's.
        return Err(CliError::OtherUser);
    }
    let home = Home::open(folder)?;
    home.save_project(&project(&http, &tokens))?;
    let auth = RefreshingAuth::new(sign_in, home.credentials());
    let user_id = tokens.user_id.clone();
    auth.adopt(tokens).await?;
    let name = args.device_name.unwrap_or_else(machine_name);
    let description = Description { name: &name, device_type: &args.device_type };
    let device_id = device::register(&home, &http, &auth, description).await?;
    console.json(&SignedIn {
        url: &http.api_url,
        user_id: user_id.as_str(),
        device_id: device_id.as_str(),
    })?;
    console.say(format!(
        "signed in to {} as user {user_id}; this is device {device_id} ({name})",
        http.api_url
    ))?;
    Ok(Exit::Done)
}

/// Forgets the tokens. Keys, sessions and outbox stay: what waits there goes out after the next sign-in.
pub(crate) fn logout(args: &LogoutArgs, console: Console) -> Result<Exit, CliError> {
    use levi::{CredentialName, Credentials as _};
    let folder = home::folder(args.data.data_dir.as_deref());
    if home::credentials_path(&folder).exists() {
        Home::open(folder)?.credentials().remove(&CredentialName::SignIn)?;
    }
    console.json(&serde_json::json!({ "signed_in": false }))?;
    console.say("signed out; keys, sessions and outbox stay, and go on after the next `levi login`")?;
    Ok(Exit::Done)
}

fn project(http: &HttpOptions, tokens: &Tokens) -> Project {
    Project {
        url: http.api_url.clone(),
        publishable_key: http.publishable_key.clone(),
        user_id: tokens.user_id.clone(),
    }
}

fn email(args: &LoginArgs) -> Result<String, CliError> {
    if let Some(email) = &args.email {
        return Ok(email.clone());
    }
    if args.password_stdin || !io::stdin().is_terminal() {
        return Err(CliError::Usage("whose sign-in? give --email (or LEVI_EMAIL)"));
    }
    let fail = |source| CliError::System { what: "ask for the email address", source };
    let mut err = io::stderr();
    err.write_all(b"Email: ").and_then(|()| err.flush()).map_err(fail)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(fail)?;
    Ok(line.trim().to_owned())
}

fn password(args: &LoginArgs) -> Result<SecretString, CliError> {
    if args.password_stdin {
        let text = stdin_text()?;
        // `echo` and editors end the line; a password's own spaces stay.
        let password = text.expose().strip_suffix('\n').unwrap_or(text.expose());
        return Ok(password.strip_suffix('\r').unwrap_or(password).into());
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage("no terminal to ask for the password on; give it with --password-stdin"));
    }
    let password = rpassword::prompt_password("Password: ");
    password
        .map(SecretString::new)
        .map_err(|source| CliError::System { what: "ask for the password", source })
}

fn tokens_from_stdin() -> Result<Tokens, CliError> {
    #[derive(Deserialize)]
    struct Given {
        access_token: String,
        refresh_token: String,
        user_id: String,
    }
    let text = stdin_text()?;
    // Exposed to be taken apart into tokens. The parser's own words could quote one, so they are not passed on.
    let given: Given = serde_json::from_str(text.expose()).map_err(|_| {
        CliError::Usage(
            "stdin holds no {\"access_token\", \"refresh_token\", \"user_id\"} as one JSON object",
        )
    })?;
    Ok(Tokens {
        access_token: given.access_token.into(),
        refresh_token: given.refresh_token.into(),
        user_id: given.user_id.into(),
    })
}

fn stdin_text() -> Result<SecretString, CliError> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_STDIN).read_to_string(&mut text);
    read.map_err(|source| CliError::System { what: "read stdin", source })?;
    Ok(text.into())
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").ok();
    let name = name.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "levi".to_owned())
}
