//! Reads a job message: GitHub's encodings of context data and template tokens, as far as `run:` steps use them.

use super::Error;
use serde_json::Value;

/// The variable by which only the fake GitHub asks for log lines.
const LOG_VARIABLE: &str = "flint_sim.log_url";

/// The job.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) plan: String,
    pub(super) name: String,
    /// Where renewals and the completion go.
    pub(super) service: String,
    pub(super) token: String,
    pub(super) log_url: Option<String>,
    /// The scalars of the `github` context.
    pub(super) github: Vec<(String, String)>,
    /// The whole `github.event`, if told.
    pub(super) event: Option<Value>,
    pub(super) env: Vec<(String, String)>,
    pub(super) steps: Vec<Step>,
}

/// One `run:` step.
pub(super) struct Step {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) script: String,
    pub(super) shell: Option<String>,
    pub(super) working_directory: Option<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) condition: String,
    pub(super) continue_on_error: bool,
    pub(super) timeout_minutes: Option<u64>,
}

impl Job {
    /// Reads the answer to an `acquirejob`.
    pub(super) fn read(message: &Value) -> Result<Self, Error> {
        let need = |at: &str| {
            message
                .pointer(at)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or(Error::Answer { call: "the job request" })
        };
        let github = data(&message["contextData"]["github"]);
        let scalars = github.as_object().into_iter().flatten();
        let scalars = scalars.filter_map(|(k, v)| Some((k.clone(), scalar(v)?))).collect();
        let steps = message["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let envs = message["environmentVariables"].as_array().into_iter().flatten();
        Ok(Job {
            id: need("/jobId")?,
            plan: need("/plan/planId")?,
            name: need("/jobDisplayName")?,
            service: need("/resources/endpoints/0/url")?,
            token: need("/resources/endpoints/0/authorization/parameters/AccessToken")?,
            log_url: message["variables"][LOG_VARIABLE]["value"].as_str().map(str::to_owned),
            github: scalars,
            event: github.get("event").cloned(),
            env: envs.flat_map(pairs).collect(),
            steps: steps.iter().map(Step::read).collect::<Result<_, _>>()?,
        })
    }
}

impl Step {
    fn read(step: &Value) -> Result<Self, Error> {
        if step["reference"]["type"] != "script" {
            // The real runner would fetch an action here.
            return Err(Error::Answer {
                call: "the job request: only `run:` steps are known here",
            });
        }
        let inputs = pairs(&step["inputs"]);
        let input = |name: &str| inputs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        Ok(Step {
            id: step["id"].as_str().unwrap_or_default().to_owned(),
            name: step["displayNameToken"].as_str().map(str::to_owned),
            script: input("script").unwrap_or_default(),
            shell: input("shell"),
            working_directory: input("workingDirectory"),
            env: pairs(&step["environment"]),
            condition: step["condition"].as_str().unwrap_or("success()").to_owned(),
            continue_on_error: step["continueOnError"] == true,
            timeout_minutes: step["timeoutInMinutes"].as_u64(),
        })
    }

    /// What the log calls it.
    pub(super) fn title(&self) -> String {
        let run = || format!("Run {}", self.script.lines().next().unwrap_or_default());
        self.name.clone().unwrap_or_else(run)
    }
}

/// Context data: scalars as they are, `{"t":1,"a":[…]}` a list, `{"t":2,"d":[{"k","v"}]}` an object.
fn data(value: &Value) -> Value {
    match (value["t"].as_u64(), &value["a"], &value["d"]) {
        (Some(1), Value::Array(items), _) => items.iter().map(data).collect(),
        (Some(2), _, Value::Array(entries)) => {
            let entry = |e: &Value| (e["k"].as_str().unwrap_or_default().to_owned(), data(&e["v"]));
            Value::Object(entries.iter().map(entry).collect())
        }
        _ => value.clone(),
    }
}

/// A mapping token: `{"type":2,"map":[{"Key","Value"}]}`, scalars only.
fn pairs(token: &Value) -> Vec<(String, String)> {
    let entries = token["map"].as_array().into_iter().flatten();
    entries.filter_map(|e| Some((scalar(&e["Key"])?, scalar(&e["Value"])?))).collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
