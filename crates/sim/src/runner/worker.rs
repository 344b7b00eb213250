//! Runs a job's steps in order, with its hooks, variables and conditions, and reports what became of each.

use super::jit::Identity;
use super::message::{Job, Step};
use super::step::{self, End, Script};
use super::{Error, console, files, protocol};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// As the real one's numbers, which the exit code of hosted mode adds to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded = 0,
    Failed = 2,
    Canceled = 3,
}

/// One job being run.
pub(super) struct Worker<'a> {
    job: &'a Job,
    cancelled: &'a AtomicBool,
    places: Places,
    log: Log,
    /// GITHUB_* and RUNNER_*, then the job's own, then what steps set.
    env: BTreeMap<String, String>,
    path: Vec<String>,
    failed: bool,
    was_cancelled: bool,
    results: Vec<Value>,
}

struct Places {
    workspace: PathBuf,
    temp: PathBuf,
}

/// What to run, whether a step of the workflow or a hook.
struct Run<'a> {
    title: String,
    id: String,
    script: String,
    step: Option<&'a Step>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        identity: &Identity,
        root: &Path,
        job: &'a Job,
        cancelled: &'a AtomicBool,
    ) -> Self {
        let repository =
            job.github.iter().find(|(k, _)| k == "repository").map_or("job", |(_, v)| v.as_str());
        let name = repository.rsplit('/').next().unwrap_or(repository);
        let work = root.join(&identity.work_folder);
        let places = Places { workspace: work.join(name).join(name), temp: work.join("_temp") };
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        // The token is handed out by workflows only.
        let told = job.github.iter().filter(|(k, _)| k != "token");
        env.extend(told.map(|(k, v)| (format!("GITHUB_{}", k.to_ascii_uppercase()), v.clone())));
        let own = [
            ("CI", "true".to_owned()),
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_WORKSPACE", places.workspace.display().to_string()),
            ("GITHUB_EVENT_PATH", places.temp.join("event.json").display().to_string()),
            ("RUNNER_NAME", identity.name.clone()),
            ("RUNNER_OS", "Linux".to_owned()),
            ("RUNNER_ARCH", if cfg!(target_arch = "aarch64") { "ARM64" } else { "X64" }.to_owned()),
            ("RUNNER_ENVIRONMENT", "self-hosted".to_owned()),
            ("RUNNER_TEMP", places.temp.display().to_string()),
            ("RUNNER_TOOL_CACHE", work.join("_tool").display().to_string()),
            ("RUNNER_WORKSPACE", work.join(name).display().to_string()),
        ];
        env.extend(own.map(|(k, v)| (k.to_owned(), v)));
        env.extend(job.env.iter().cloned());
        let log = Log::start(job);
        let (failed, was_cancelled) = (false, false);
        Worker {
            job,
            cancelled,
            places,
            log,
            env,
            path: Vec::new(),
            failed,
            was_cancelled,
            results: Vec::new(),
        }
    }

    /// Runs everything. Gives the report for the server.
    pub(super) fn run(mut self) -> (Value, Outcome) {
        if let Err(error) = self.prepare() {
            self.fail(&format!("##[error]{error}"));
        }
        self.hook("ACTIONS_RUNNER_HOOK_JOB_STARTED", "Set up runner");
        for step in &self.job.steps {
            self.notice_cancel();
            if !self.applies(&step.condition) {
                self.results.push(result(&step.id, &step.title(), "skipped"));
                continue;
            }
            let run = Run {
                title: step.title(),
                id: step.id.clone(),
                script: step.script.clone(),
                step: Some(step),
            };
            self.execute(&run);
        }
        self.notice_cancel();
        self.hook("ACTIONS_RUNNER_HOOK_JOB_COMPLETED", "Complete runner");
        let outcome = match (self.was_cancelled, self.failed) {
            (true, _) => Outcome::Canceled,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Succeeded,
        };
        self.log.finish();
        let conclusion = format!("{outcome:?}").to_ascii_lowercase();
        let report = json!({ "planId": self.job.plan, "jobId": self.job.id, "conclusion": conclusion,
            "outputs": {}, "stepResults": self.results, "annotations": [] });
        (report, outcome)
    }

    fn prepare(&self) -> Result<(), Error> {
        for path in [&self.places.workspace, &self.places.temp] {
            fs::create_dir_all(path)
                .map_err(|source| Error::File { path: path.clone(), source })?;
        }
        let event = self.job.event.clone().unwrap_or_else(|| json!({}));
        step::write_script(&self.places.temp.join("event.json"), &event.to_string())
    }

    fn hook(&mut self, variable: &str, title: &str) {
        let Ok(path) = std::env::var(variable) else {
            return;
        };
        let run = Run { title: title.to_owned(), id: String::new(), script: path, step: None };
        self.execute(&run);
    }

    fn applies(&self, condition: &str) -> bool {
        let bare = condition.trim().trim_start_matches("${{").trim_end_matches("}}").trim();
        match bare {
            "always()" => true,
            "failure()" => self.failed && !self.was_cancelled,
            "cancelled()" => self.was_cancelled,
            "!cancelled()" => !self.was_cancelled,
            _ => !self.failed && !self.was_cancelled,
        }
    }

    fn execute(&mut self, run: &Run<'_>) {
        self.log.line(format!("##[group]{}", run.title));
        let ended = self.attempt(run);
        self.log.line("##[endgroup]".to_owned());
        let problem = match &ended {
            Ok(End::Code(0)) => None,
            Ok(End::Code(code)) => Some(format!("Process completed with exit code {code}.")),
            Ok(End::TimedOut) => Some("The step has timed out.".to_owned()),
            Ok(End::Cancelled) => Some("The operation was canceled.".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        let word = match (&problem, run.step) {
            (None, _) => "success",
            (Some(_), _) if matches!(ended, Ok(End::Cancelled)) => "cancelled",
            (Some(_), _) => "failure",
        };
        if let Some(problem) = problem {
            self.log.line(format!("##[error]{problem}"));
            let forgiven = run.step.is_some_and(|step| step.continue_on_error);
            self.failed |= !forgiven && word == "failure";
        }
        self.results.push(result(&run.id, &run.title, word));
    }

    fn attempt(&mut self, run: &Run<'_>) -> Result<End, Error> {
        let number = self.results.len();
        let told = |name: &str| self.places.temp.join(format!("{name}_{number}"));
        let (env_file, path_file) = (told("set_env"), told("add_path"));
        let (output_file, summary_file) = (told("set_output"), told("step_summary"));
        let mut env: BTreeMap<String, String> = self.env.clone();
        env.extend(run.step.into_iter().flat_map(|step| step.env.iter().cloned()));
        let named = [
            ("GITHUB_ENV", &env_file),
            ("GITHUB_PATH", &path_file),
            ("GITHUB_OUTPUT", &output_file),
            ("GITHUB_STEP_SUMMARY", &summary_file),
        ];
        for (name, path) in named {
            step::write_script(path, "")?;
            env.insert(name.to_owned(), path.display().to_string());
        }
        if !self.path.is_empty() {
            let base =
                env.get("PATH").cloned().or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
            let added: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            env.insert("PATH".to_owned(), format!("{}:{base}", added.join(":")));
        }
        let file = match run.step {
            Some(_) => told("script.sh"),
            None => PathBuf::from(&run.script),
        };
        if run.step.is_some() {
            step::write_script(&file, &run.script)?;
        }
        let wanted = run.step.and_then(|step| step.working_directory.as_deref()).unwrap_or(".");
        let script = Script {
            file,
            shell: run.step.and_then(|step| step.shell.as_deref()),
            directory: self.places.workspace.join(wanted),
            env: env.into_iter().collect(),
            timeout: run.step.and_then(|s| s.timeout_minutes).map(|m| Duration::from_secs(m * 60)),
        };
        // After a cancellation, steps that still run (`always()`) are not stopped by it again.
        let never = AtomicBool::new(false);
        let stopper = if self.was_cancelled { &never } else { self.cancelled };
        let log = &self.log;
        let end = script.run(stopper, |line| log.line(line))?;
        self.take_in(&env_file, &path_file, &output_file)?;
        Ok(end)
    }

    fn take_in(
        &mut self,
        env_file: &Path,
        path_file: &Path,
        output_file: &Path,
    ) -> Result<(), Error> {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let pairs = |path: &Path| {
            files::assignments(&read(path)).map_err(|problem| Error::BadConfig { problem })
        };
        self.env.extend(pairs(env_file)?);
        self.path.extend(read(path_file).lines().filter(|l| !l.is_empty()).map(str::to_owned));
        // Nothing here can use outputs, for there are no expressions; but a broken file fails the step.
        pairs(output_file).map(|_| ())
    }

    fn notice_cancel(&mut self) {
        self.was_cancelled |= self.cancelled.load(Ordering::SeqCst);
    }

    fn fail(&mut self, line: &str) {
        self.log.line(line.to_owned());
        self.failed = true;
    }
}

fn result(id: &str, name: &str, conclusion: &str) -> Value {
    json!({ "external_id": id, "name": name, "status": "completed", "conclusion": conclusion })
}

/// Prints each line, and sends it on in small batches when the server asked for that.
struct Log {
    lines: mpsc::Sender<String>,
    sender: JoinHandle<()>,
}

impl Log {
    fn start(job: &Job) -> Self {
        let (lines, read) = mpsc::channel::<String>();
        let (url, token) = (job.log_url.clone(), job.token.clone());
        let sender = thread::spawn(move || {
            while let Ok(first) = read.recv() {
                let mut batch = first + "\n";
                // What comes within a blink goes in one request.
                thread::sleep(Duration::from_millis(30));
                for line in read.try_iter() {
                    batch.push_str(&line);
                    batch.push('\n');
                }
                if let Some(url) = &url {
                    protocol::send_log(url, &token, &batch);
                }
            }
        });
        Log { lines, sender }
    }

    fn line(&self, text: String) {
        console::line(&text);
        let _ = self.lines.send(text);
    }

    fn finish(self) {
        drop(self.lines);
        let _ = self.sender.join();
    }
}
