//! `levi login` and `levi logout`.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use clap::Args;
use levi::transport::Tokens;
use levi::types::{AuthError, FinalWord, SecretString};
use levi::{Device, DeviceError, DeviceId};
use serde::{Deserialize, Serialize};

use crate::connection;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::options::{DataArgs, ProjectArgs};

/// The words for a desktop: Levi's, then what projects with an enum of device types use.
const DESKTOP: [&str; 2] = ["desktop", DESKTOP_OF_THIS_SYSTEM];

const DESKTOP_OF_THIS_SYSTEM: &str = if cfg!(target_os = "macos") {
    "macos-desktop"
} else if cfg!(windows) {
    "windows-desktop"
} else {
    "linux-desktop"
};

/// The most that is read from stdin, in bytes; tokens and passwords are shorter.
const MAX_STDIN: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The user's email address. Asked for on a terminal if absent.
    #[arg(long, env = "LEVI_EMAIL")]
    email: Option<String>,
    /// Read the password from stdin instead of asking for it.
    #[arg(long, conflicts_with = "tokens_stdin")]
    password_stdin: bool,
    /// Read {"access_token", "refresh_token", "user_id"} from stdin, for other sign-in flows than a
    /// password.
    #[arg(long)]
    tokens_stdin: bool,
    /// Make a new account, where the project lets people sign up. A link may be sent to the address
    /// first; then run `levi login` once it was opened.
    #[arg(long, conflicts_with = "tokens_stdin")]
    sign_up: bool,
    /// The name of this device in lists of devices. Default: the machine's name.
    #[arg(long)]
    device_name: Option<String>,
    /// The kind of device, such as desktop or phone; where the project has a fixed list of kinds, one of
    /// those. Default: desktop, or linux-desktop and the like where the list has that.
    #[arg(long)]
    device_type: Option<String>,
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

#[derive(Serialize)]
struct SignedOut {
    signed_in: bool,
    was_signed_in: bool,
}

#[derive(Serialize)]
struct Unconfirmed<'a> {
    url: &'a str,
    confirmation_sent_to: &'a str,
}

pub(crate) async fn login(args: LoginArgs, console: Console) -> Result<Exit, CliError> {
    let device = Device::in_folder(args.data.folder(), connection::options(&args.project)?)?;
    let user_id = if args.tokens_stdin {
        device.adopt_tokens(tokens_from_stdin()?).await?
    } else {
        let email = email(&args)?;
        let password = password(&args)?;
        if !args.sign_up {
            device.sign_in(&email, &password).await.map_err(refused)?
        } else if let Some(user_id) = device.sign_up(&email, &password).await? {
            user_id
        } else {
            return confirmation_needed(&device, &email, console);
        }
    };
    let name = args.device_name.unwrap_or_else(machine_name);
    let device_id = register(&device, &name, args.device_type.as_deref()).await?;
    let url = &device.http().api_url;
    console.json(&SignedIn { url, user_id: user_id.as_str(), device_id: device_id.as_str() })?;
    console.say(format!("signed in to {url} as user {user_id}; this is device {device_id} ({name})"))?;
    console.hint("next: `levi sync FILE` sends messages, `levi pull --follow` shows those of all devices");
    Ok(Exit::Done)
}

/// A refused password is not an ended sign-in here.
fn refused(error: DeviceError) -> CliError {
    match error {
        DeviceError::Auth(AuthError::Ended(FinalWord::InvalidCredentials | FinalWord::InvalidGrant)) => {
            CliError::WrongPassword
        }
        other => other.into(),
    }
}

/// The account is there, but this device cannot sign in yet.
fn confirmation_needed(device: &Device, email: &str, console: Console) -> Result<Exit, CliError> {
    let url = &device.http().api_url;
    console.json(&Unconfirmed { url, confirmation_sent_to: email })?;
    console.say(format!("signed up at {url}; a link was sent to {email}"))?;
    console.hint("next: open the link, then run `levi login` with the same address and password");
    Ok(Exit::NotSignedIn)
}

/// Registers the device as the kind that was given, or as a desktop, in the first word for it that the project takes.
async fn register(device: &Device, name: &str, device_type: Option<&str>) -> Result<DeviceId, CliError> {
    let words = device_type.as_ref().map_or(&DESKTOP[..], std::slice::from_ref);
    let mut refused = CliError::NoDevice;
    for word in words {
        match device.register(name, word).await {
            Err(error @ DeviceError::DeviceType { .. }) => refused = error.into(),
            registered => return Ok(registered?),
        }
    }
    Err(refused)
}

/// Deletes the stored tokens, and tells a daemon that runs on the folder. Keys, sessions and outbox stay: pending messages are sent after the
/// next sign-in.
pub(crate) fn logout(args: &LogoutArgs, console: Console) -> Result<Exit, CliError> {
    let folder = args.data.folder();
    let was_signed_in = folder.has_sign_in()?;
    folder.sign_out()?;
    console.json(&SignedOut { signed_in: false, was_signed_in })?;
    if !was_signed_in {
        console.say(format!("nobody was signed in at {}; nothing was changed", folder.path().display()))?;
        return Ok(Exit::Done);
    }
    console.say(
        "signed out; keys, sessions and outbox stay, and sending continues after the next `levi login`",
    )?;
    Ok(Exit::Done)
}

fn email(args: &LoginArgs) -> Result<String, CliError> {
    if let Some(email) = &args.email {
        return Ok(email.clone());
    }
    if args.password_stdin || !io::stdin().is_terminal() {
        return Err(CliError::Usage("no email address given; give --email or set LEVI_EMAIL"));
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
        // Only the line break that `echo` and editors add is removed: spaces may belong to the
        // password.
        let password = text.expose().strip_suffix('\n').unwrap_or(text.expose());
        return Ok(password.strip_suffix('\r').unwrap_or(password).into());
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask for the password; give it with --password-stdin",
        ));
    }
    let password = ask_password("Password: ")?;
    if args.sign_up && ask_password("The same again: ")?.expose() != password.expose() {
        return Err(CliError::Usage("the two passwords differ, so nothing was done; run this again"));
    }
    Ok(password)
}

fn ask_password(question: &str) -> Result<SecretString, CliError> {
    let password = rpassword::prompt_password(question);
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
    // Exposed to be parsed into tokens. The parser's error is dropped because it could quote one.
    let given: Given = serde_json::from_str(text.expose()).map_err(|_| {
        CliError::Usage("stdin is not one JSON object {\"access_token\", \"refresh_token\", \"user_id\"}")
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
