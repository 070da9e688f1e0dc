//! Holds output to the documents in `docs/schema`, with the keywords of JSON Schema that they use.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema");

/// Commands with commands of their own.
const NESTED: [&str; 2] = ["outbox", "recovery"];

/// Commands whose stdout is JSON without `--json`, too.
const ALWAYS_JSON: [&str; 2] = ["pull", "outbox-export"];

/// What outputs of this process were held to, as [`forms`] names it.
static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What a line of output is held to: the document of its command.
pub fn name_of(args: &[&str]) -> Option<String> {
    let first = args.first().filter(|first| !first.starts_with('-'))?;
    let name = match args.get(1) {
        Some(second) if NESTED.contains(first) => format!("{first}-{second}"),
        _ => (*first).to_owned(),
    };
    Some(name)
}

/// Holds what a command printed to the documents.
#[track_caller]
pub fn hold(args: &[&str], out: &str, err: &str) {
    let Some(name) = name_of(args) else { return };
    let json = args.contains(&"--json");
    let is_help = args.iter().any(|arg| ["--help", "-h", "--version"].contains(arg));
    if is_help || !(json || ALWAYS_JSON.contains(&name.as_str())) {
        return;
    }
    out.lines().for_each(|line| hold_line(&name, line));
    if json {
        err.lines().for_each(hold_stderr_line);
    }
}

/// Holds one line of stderr to the document of its kind.
#[track_caller]
pub fn hold_stderr_line(line: &str) {
    let is_notice = serde_json::from_str(line).is_ok_and(|line: Value| line.get("notice").is_some());
    hold_line(if is_notice { "notice" } else { "error" }, line);
}

/// Holds one line to the document with this name.
#[track_caller]
pub fn hold_line(name: &str, line: &str) {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
    if let Err(why) = check(&document(name), &value) {
        panic!("docs/schema/{name}.json: {why}\n{line}");
    }
    let is_held_to = |(_, form): &(String, Value)| check(form, &value).is_ok();
    let held = forms(name).into_iter().find(is_held_to).map(|(form, _)| form);
    HELD.lock().unwrap_or_else(PoisonError::into_inner).extend(held);
}

/// The forms of an output that a document describes, each with its name: `pair 0`, `pair 1`, or `sync` alone.
pub fn forms(name: &str) -> Vec<(String, Value)> {
    let document = document(name);
    match document["oneOf"].as_array() {
        Some(forms) => {
            forms.iter().enumerate().map(|(index, form)| (format!("{name} {index}"), form.clone())).collect()
        }
        None => vec![(name.to_owned(), document)],
    }
}

pub fn held() -> BTreeSet<String> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub fn documents() -> BTreeSet<String> {
    let files = fs::read_dir(FOLDER).unwrap().map(|file| file.unwrap().path());
    let documents = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    documents.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

pub fn document(name: &str) -> Value {
    let path = Path::new(FOLDER).join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether `schema` describes `value`, and why not. A keyword that this does not know is no silent yes.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().ok_or("a schema is not an object")? {
        match keyword.as_str() {
            "$schema" | "title" | "description" => Ok(()),
            "type" => has_type(rule, value),
            "enum" => is_true(rule.as_array().is_some_and(|all| all.contains(value)), "not in enum", value),
            "const" => is_true(rule == value, "not the constant", value),
            "minimum" => is_true(at_least(value, rule), "below the minimum", value),
            "maximum" => is_true(at_least(rule, value), "above the maximum", value),
            "minLength" => is_true(value.as_str().is_none_or(|text| !text.is_empty()), "empty", value),
            "required" => required(rule, value),
            "properties" | "additionalProperties" => properties(schema, value),
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| check(rule, item)),
            "oneOf" => one_of(rule, value),
            other => Err(format!("the test does not know the keyword {other}")),
        }?;
    }
    Ok(())
}

fn is_true(holds: bool, why: &str, value: &Value) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{why}: {value}")) }
}

fn has_type(rule: &Value, value: &Value) -> Result<(), String> {
    let is = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        _ => false,
    };
    let holds = rule.as_array().map_or_else(|| is(rule), |any| any.iter().any(is));
    is_true(holds, &format!("not of type {rule}"), value)
}

/// Only numbers have a minimum.
fn at_least(value: &Value, minimum: &Value) -> bool {
    match (value.as_i64(), minimum.as_i64()) {
        (Some(value), Some(minimum)) => value >= minimum,
        _ => value.as_f64().zip(minimum.as_f64()).is_none_or(|(value, minimum)| value >= minimum),
    }
}

fn required(rule: &Value, value: &Value) -> Result<(), String> {
    let Some(object) = value.as_object() else { return Ok(()) };
    let names = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = names.filter(|name| !object.contains_key(*name)).collect();
    is_true(missing.is_empty(), &format!("{missing:?} missing"), value)
}

fn properties(schema: &Value, value: &Value) -> Result<(), String> {
    for (name, field) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(rule) => check(rule, field).map_err(|why| format!("{name}: {why}"))?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{name} is not in the document"));
            }
            None => {}
        }
    }
    Ok(())
}

fn one_of(rule: &Value, value: &Value) -> Result<(), String> {
    let all: Vec<_> = rule.as_array().into_iter().flatten().map(|schema| check(schema, value)).collect();
    match all.iter().filter(|result| result.is_ok()).count() {
        1 => Ok(()),
        0 => Err(format!(
            "none of: {}",
            all.into_iter().filter_map(Result::err).collect::<Vec<_>>().join(" | ")
        )),
        more => Err(format!("{more} of oneOf describe it")),
    }
}
