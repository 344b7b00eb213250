//! Reads the jobs of a workflow file: `run:` steps only, no expressions. What is not known is refused by its place.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// One job of a workflow file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobSpec {
    /// The workflow's name.
    pub(super) workflow: String,
    /// Its key under `jobs`.
    pub(super) key: String,
    /// Its display name.
    pub(super) name: String,
    /// `runs-on`.
    pub(super) labels: Vec<String>,
    /// The workflow's and its own `env`.
    pub(super) env: Vec<(String, String)>,
    /// After so many minutes it is cancelled.
    pub(super) timeout_minutes: u64,
    /// In order.
    pub(super) steps: Vec<StepSpec>,
}

/// One `run:` step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StepSpec {
    /// `name`.
    pub(super) name: Option<String>,
    /// `run`.
    pub(super) run: String,
    /// `shell`: `bash` or `sh`.
    pub(super) shell: Option<String>,
    /// `working-directory`.
    pub(super) working_directory: Option<String>,
    /// `env`.
    pub(super) env: Vec<(String, String)>,
    /// `if`, bare.
    pub(super) condition: String,
    /// `continue-on-error`.
    pub(super) continue_on_error: bool,
    /// `timeout-minutes`.
    pub(super) timeout_minutes: Option<u64>,
}

/// GitHub's own default.
const JOB_MINUTES: u64 = 360;

/// Reads all jobs, in the order of their keys.
///
/// # Errors
/// When it is no YAML, or uses what this server does not do; the message says where.
pub(super) fn parse(yaml: &str) -> anyhow::Result<Vec<JobSpec>> {
    let file: Value = serde_saphyr::from_str(yaml).context("the workflow is not YAML")?;
    let top = known(
        &file,
        "",
        &["name", "run-name", "on", "true", "permissions", "concurrency", "env", "jobs"],
    )?;
    let workflow = text(top, "", "name")?.unwrap_or_else(|| "workflow".to_owned());
    let shared = env(top, "")?;
    let jobs = top.get("jobs").and_then(Value::as_object).context("`jobs` is missing")?;
    ensure!(!jobs.is_empty(), "`jobs` is empty");
    let read = |(key, value): (&String, &Value)| job(&workflow, &shared, key, value);
    jobs.iter().map(read).collect()
}

fn job(
    workflow: &str,
    shared: &[(String, String)],
    key: &str,
    value: &Value,
) -> anyhow::Result<JobSpec> {
    let at = format!("jobs.{key}.");
    let job =
        known(value, &at, &["name", "runs-on", "env", "timeout-minutes", "permissions", "steps"])?;
    let steps = job
        .get("steps")
        .and_then(Value::as_array)
        .with_context(|| format!("`{at}steps` is missing"))?;
    let read = |(n, value): (usize, &Value)| step(value, &format!("{at}steps[{n}]."));
    let mut env_of_job = shared.to_vec();
    env_of_job.extend(env(job, &at)?);
    Ok(JobSpec {
        workflow: workflow.to_owned(),
        key: key.to_owned(),
        name: text(job, &at, "name")?.unwrap_or_else(|| key.to_owned()),
        labels: labels(job, &at)?,
        env: env_of_job,
        timeout_minutes: job.get("timeout-minutes").and_then(Value::as_u64).unwrap_or(JOB_MINUTES),
        steps: steps.iter().enumerate().map(read).collect::<anyhow::Result<_>>()?,
    })
}

fn step(value: &Value, at: &str) -> anyhow::Result<StepSpec> {
    let keys = [
        "id",
        "name",
        "run",
        "shell",
        "working-directory",
        "env",
        "if",
        "continue-on-error",
        "timeout-minutes",
    ];
    let step = known(value, at, &keys)?;
    let shell = text(step, at, "shell")?;
    if let Some(other) = shell.as_deref().filter(|shell| !matches!(*shell, "bash" | "sh")) {
        bail!("`{at}shell`: `{other}` is not known here, only bash and sh");
    }
    Ok(StepSpec {
        name: text(step, at, "name")?,
        run: text(step, at, "run")?
            .with_context(|| format!("`{at}run` is missing: only `run:` steps are known here"))?,
        shell,
        working_directory: text(step, at, "working-directory")?,
        env: env(step, at)?,
        condition: condition(step.get("if"), at)?,
        continue_on_error: step.get("continue-on-error").and_then(Value::as_bool).unwrap_or(false),
        timeout_minutes: step.get("timeout-minutes").and_then(Value::as_u64),
    })
}

fn condition(value: Option<&Value>, at: &str) -> anyhow::Result<String> {
    let given = match value {
        None => return Ok("success()".to_owned()),
        Some(Value::String(text)) => {
            text.trim().trim_start_matches("${{").trim_end_matches("}}").trim()
        }
        Some(_) => "",
    };
    match given {
        "success()" | "always()" | "failure()" | "cancelled()" | "!cancelled()" => {
            Ok(given.to_owned())
        }
        _ => bail!(
            "`{at}if` must be one of success(), failure(), always(), cancelled(), !cancelled()"
        ),
    }
}

fn labels(job: &Map<String, Value>, at: &str) -> anyhow::Result<Vec<String>> {
    let value = job.get("runs-on").with_context(|| format!("`{at}runs-on` is missing"))?;
    let value = match value {
        Value::Object(_) => {
            let inner = known(value, &format!("{at}runs-on."), &["labels"])?;
            inner.get("labels").with_context(|| format!("`{at}runs-on.labels` is missing"))?
        }
        other => other,
    };
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    items.iter().map(|item| scalar(item, &format!("{at}runs-on"))).collect()
}

fn env(of: &Map<String, Value>, at: &str) -> anyhow::Result<Vec<(String, String)>> {
    let Some(value) = of.get("env").filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let map = value.as_object().with_context(|| format!("`{at}env` is not a mapping"))?;
    map.iter().map(|(k, v)| Ok((k.clone(), scalar(v, &format!("{at}env.{k}"))?))).collect()
}

fn text(of: &Map<String, Value>, at: &str, key: &str) -> anyhow::Result<Option<String>> {
    of.get(key).filter(|v| !v.is_null()).map(|v| scalar(v, &format!("{at}{key}"))).transpose()
}

fn scalar(value: &Value, at: &str) -> anyhow::Result<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => bail!("`{at}` is not a plain value"),
    };
    ensure!(
        !text.contains("${{"),
        "`{at}` holds an expression (`${{{{ … }}}}`), which is not known here"
    );
    Ok(text)
}

fn known<'a>(value: &'a Value, at: &str, keys: &[&str]) -> anyhow::Result<&'a Map<String, Value>> {
    let place = if at.is_empty() { "the workflow" } else { at.trim_end_matches('.') };
    let map = value.as_object().with_context(|| format!("`{place}` is not a mapping"))?;
    match map.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => bail!("`{at}{key}` is not known here; known are: {}", keys.join(", ")),
        None => Ok(map),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_plain_workflow_is_read_whole() {
        let jobs = parse(
            "name: CI\non: push\nenv: {A: 1}\njobs:\n  b:\n    runs-on: [self-hosted, flint]\n    steps:\n      \
             - run: |\n          echo hi\n          echo ho\n      - {name: last, run: x, if: '${{ always() }}', env: {B: yes}}\n  \
             a:\n    name: Second\n    runs-on: linux\n    steps: [{run: 'true'}]\n",
        );
        let jobs = jobs.expect("it is plain");
        assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>().len(), 2);
        let first = jobs.iter().find(|job| job.key == "b").expect("it is there");
        assert_eq!(first.labels, ["self-hosted", "flint"]);
        assert_eq!(first.steps[0].run, "echo hi\necho ho\n");
        assert_eq!(first.steps[1].condition, "always()");
        assert_eq!(first.env, [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_place() {
        let refused = |yaml: &str| parse(yaml).expect_err("it is refused").to_string();
        let uses = refused("jobs: {a: {runs-on: x, steps: [{uses: actions/checkout@v5}]}}");
        assert!(uses.starts_with("`jobs.a.steps[0].uses` is not known here"), "{uses}");
        let needs = refused("jobs: {a: {runs-on: x, needs: b, steps: []}}");
        assert!(needs.starts_with("`jobs.a.needs` is not known here"), "{needs}");
        let expression =
            refused("jobs: {a: {runs-on: x, steps: [{run: 'echo ${{ github.ref }}'}]}}");
        assert!(
            expression.starts_with("`jobs.a.steps[0].run` holds an expression"),
            "{expression}"
        );
        assert!(refused("jobs: {a: {steps: []}}").contains("`jobs.a.runs-on` is missing"));
    }
}
