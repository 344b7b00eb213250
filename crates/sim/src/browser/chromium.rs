//! A headless Chromium, told what to do by the WebDriver protocol (<https://www.w3.org/TR/webdriver2/>).

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How long something may take to appear on a page, as the browser counts it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The key under which the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The window, in pixels.
const WINDOW: &str = "--window-size=880,980";

/// Of a test: nothing is kept, nothing is fetched in the background, and root may start it.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    WINDOW,
];

/// One browser with one window. It ends when dropped, and leaves nothing outside of its directory.
pub struct Chromium {
    driver: Child,
    port: u16,
    http: reqwest::Client,
    /// Held open, for what it may still have to say.
    output: Option<BufReader<ChildStdout>>,
    /// Of the session, below the driver's address.
    base: String,
}

impl Chromium {
    /// Starts `chromedriver` and, by it, Chromium with a profile and a home of its own in `directory`.
    ///
    /// # Errors
    /// When one of them is not there or does not start.
    pub async fn start(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .envs(
                ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"]
                    .map(|name| (name, directory)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run `chromedriver` (package chromium-driver)")?;
        let output = driver.stdout.take();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        // From here on it is ended, whatever happens.
        let mut browser = Chromium { driver, port: 0, http, output: None, base: String::new() };
        let mut output = BufReader::new(output.context("chromedriver has no output")?);
        browser.port = port(&mut output)?;
        browser.output = Some(output);
        browser.base = "/session".to_owned();
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", directory.join("profile").display()));
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": arguments },
            "timeouts": { "implicit": PATIENCE.as_millis(), "pageLoad": PATIENCE.as_millis() } });
        let capabilities = json!({ "capabilities": { "alwaysMatch": wanted } });
        let session = browser.post("", capabilities).await?;
        let id = session["sessionId"].as_str().context("the session has no id")?;
        browser.base = format!("{}/{id}", browser.base);
        Ok(browser)
    }

    /// Opens a page, and waits until it is loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.post("/url", json!({ "url": url })).await.map(drop)
    }

    /// Clicks on what a CSS selector finds, as soon as it is there, and waits for the page that this leads to.
    ///
    /// # Errors
    /// When there is no such thing.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("/element/{element}/click"), json!({})).await.map(drop)
    }

    /// The text that a person sees of what a CSS selector finds, as soon as it is there.
    ///
    /// # Errors
    /// When there is no such thing.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let element = self.find(selector).await?;
        let text = self.get(&format!("/element/{element}/text")).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Where the window is.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn url(&self) -> Result<String> {
        Ok(self.get("/url").await?.as_str().unwrap_or_default().to_owned())
    }

    /// What the window shows, as PNG.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let picture = self.get("/screenshot").await?;
        Ok(STANDARD.decode(picture.as_str().unwrap_or_default())?)
    }

    async fn find(&self, selector: &str) -> Result<String> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", wanted).await.with_context(|| format!("no `{selector}`"));
        let found = match found {
            Ok(found) => found,
            Err(error) => bail!("{error:#}, at {}", self.url().await.unwrap_or_default()),
        };
        found[ELEMENT].as_str().map(str::to_owned).context("the element has no number")
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        value(self.http.post(self.url_of(path)).json(&body).send().await?).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        value(self.http.get(self.url_of(path)).send().await?).await
    }

    fn url_of(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{}{path}", self.port, self.base)
    }

    /// Ends the browser: the driver does not do so when it ends itself. It waits, because nothing may run on after a
    /// test that failed, either.
    fn quit(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = "HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("DELETE {} {head}", self.base).as_bytes())?;
        // The driver answers when the browser is gone, and keeps the connection.
        stream.read(&mut [0; 64]).map(drop)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.quit().ok();
        if let Some(pid) = Pid::from_raw(self.driver.id().cast_signed()) {
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
        drop(self.output.take());
        self.driver.wait().ok();
    }
}

/// `ChromeDriver was started successfully on port 41234.`
fn port(output: impl std::io::BufRead) -> Result<u16> {
    for line in output.lines() {
        let line = line?;
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().context("the port is no number");
        }
    }
    bail!("chromedriver ended before it listened")
}

/// Every answer has a `value`; that of an error says what is wrong.
async fn value(response: reqwest::Response) -> Result<Value> {
    let good = response.status().is_success();
    let mut answer: Value = response.json().await?;
    let value = answer["value"].take();
    if !good {
        bail!("the browser says: {}", value["message"].as_str().unwrap_or("nothing"));
    }
    Ok(value)
}
