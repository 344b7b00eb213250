//! Starts the front, watches it, and starts it anew when it ends or hangs. Runs in the root half.
//!
//! A front that is gone costs no job: what it was delivering was answered by nobody, so GitHub has it as failed, and
//! it is asked for like any other delivery that was lost.

use super::desk::{Clerk, Desk, Heard, Seen};
use super::tls_files::{Stamp, TlsFiles};
use super::words::{Down, Hook, Up};
use super::{Error, Link, link};
use crate::sys::again::{self, Given};
use crate::sys::process::Process;
use crate::sys::said::Said;
use crate::text;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};

/// An honest front answers a ping in milliseconds; under a flood in less than this.
pub const PING: Duration = Duration::from_secs(5);

/// So many pings without an answer are a hang. One may be lost on us: this machine may have slept since.
const UNANSWERED: u32 = 2;

/// For its first words: a loaded machine starts a process in less.
const GREETING: Duration = Duration::from_secs(20);

/// For requests under way at the end, and a little more.
const GOODBYE: Duration = Duration::from_secs(12);

/// The first wait before it is started anew; it doubles while the front fails again before its first answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The longest one.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Connections that may wait to be accepted.
const QUEUE: i32 = 1_024;

/// What the keeper must be told. The defaults stand in `config`.
#[derive(Clone)]
pub struct Options {
    /// The program; [`again::SELF`] but in tests.
    pub program: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// As whom it runs.
    pub uid: u32,
    /// Whether it must have all of its confinement.
    pub confine: bool,
    /// Any directory; it is covered for the front alone.
    pub directory: PathBuf,
    /// What the front has to know; its TLS is read from the files.
    pub hook: Hook,
    /// For TLS.
    pub tls: Option<TlsFiles>,
    /// From ping to ping; some without an answer are a hang. [`PING`] but in tests.
    pub ping: Duration,
}

/// Keeps a front.
pub struct Keeper {
    options: Options,
    front: Running,
    hangup: Signal,
    pid: watch::Sender<i32>,
    seen: Seen,
    failures: u32,
    read: Option<Stamp>,
}

struct Running {
    process: Process,
    link: Link,
    said: Said,
}

/// Why a conversation is over.
enum Over {
    Stopped,
    Broken(String),
}

/// Takes the address, before anything else is done: a port that is taken is the commonest mistake.
///
/// # Errors
/// [`Error::Listen`]; its help says who has the port, or what is missing.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    // Again, for a longer queue than the standard library's 128: a flood overflows that between two looks.
    rustix::net::listen(&listener, QUEUE).map_err(|errno| listen(errno.into()))?;
    listener.set_nonblocking(true).map_err(listen)?;
    Ok(listener)
}

impl Keeper {
    /// Starts the first front; it serves then. The listener is closed here and open there.
    ///
    /// # Errors
    /// [`Error`]; nothing runs then.
    pub async fn start(options: Options, listener: TcpListener) -> Result<Keeper, Error> {
        let hangup = signal(SignalKind::hangup()).map_err(|source| Error::Start { source })?;
        let read = options.tls.as_ref().map(TlsFiles::stamp);
        let front = Running::start(&options, listener).await?;
        let pid = watch::Sender::new(front.process.pid());
        Ok(Keeper { options, front, hangup, pid, seen: Seen::default(), failures: 0, read })
    }

    /// The number of the process that serves, and of each that comes after it.
    #[must_use]
    pub fn pid(&self) -> watch::Receiver<i32> {
        self.pid.subscribe()
    }

    /// Keeps a front until `stop` ends and requests under way have been answered.
    pub async fn run<D: Desk>(mut self, desk: D, stop: impl Future<Output = ()> + Send) {
        let mut stop: Stop<'_> = Box::pin(stop);
        loop {
            let over = self.converse(desk.clone(), &mut stop).await;
            self.front.end().await;
            let Over::Broken(why) = over else { return };
            self.seen.restarts = self.seen.restarts.saturating_add(1);
            tracing::error!(%why, "the process that faces the network is started anew");
            tokio::select! {
                () = self.start_anew() => {}
                () = &mut stop => return,
            }
        }
    }

    async fn start_anew(&mut self) {
        loop {
            let doubled = BACK_OFF.saturating_mul(1 << self.failures.min(16));
            sleep(doubled.min(BACK_OFF_MAX)).await;
            self.failures = self.failures.saturating_add(1);
            let started = async { Running::start(&self.options, bind(self.options.listen)?).await };
            match started.await {
                Ok(front) => {
                    self.pid.send_replace(front.process.pid());
                    self.front = front;
                    return;
                }
                Err(error) => {
                    let error = crate::error::chain(&error);
                    tracing::error!(%error, "the process that faces the network does not start");
                }
            }
        }
    }

    async fn converse<D: Desk>(&mut self, desk: D, stop: &mut Stop<'_>) -> Over {
        let Keeper { options, front: Running { link, said, .. }, hangup, .. } = self;
        let (mut clerk, mut answers) = Clerk::new(desk, options.hook.scopes(), self.seen);
        let link: &Link = link;
        // Apart from the hearing below: a front that does not read cannot keep us from hearing.
        let mut saying = std::pin::pin!(async move {
            while let Some(word) = answers.recv().await {
                if link.say(&word).await.is_err() {
                    return;
                }
            }
        });
        let mut watch = Watch::new(options, self.read);
        let why = loop {
            let next = tokio::select! {
                word = link.hear::<Up>() => watch.heard(&mut clerk, word),
                () = &mut saying => Err("it does not hear".to_owned()),
                () = said.listen() => Ok(()),
                _ = hangup.recv() => {
                    watch.read_tls(&clerk);
                    Ok(())
                }
                _ = watch.beat.tick() => {
                    said.again();
                    watch.ping(&clerk)
                }
                () = &mut *stop, if watch.stopping.is_none() => {
                    clerk.say(Down::Stop);
                    watch.stopping = Some(Box::pin(sleep(GOODBYE)));
                    Ok(())
                }
                () = until(&mut watch.stopping) => Err("it does not end".to_owned()),
            };
            if let Err(why) = next {
                break why;
            }
        };
        self.failures = if watch.lived { 0 } else { self.failures };
        (self.seen, self.read) = (clerk.seen(), watch.read);
        clerk.leave();
        if watch.stopping.is_some() { Over::Stopped } else { Over::Broken(why) }
    }
}

type Stop<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Never, unless there is an end.
async fn until(end: &mut Option<Pin<Box<Sleep>>>) {
    match end {
        Some(end) => end.as_mut().await,
        None => std::future::pending().await,
    }
}

/// What is known of the front that is being heard.
struct Watch {
    beat: Interval,
    /// Pings since the last answer.
    unanswered: u32,
    /// Whether any was.
    lived: bool,
    /// Until when it may end by itself.
    stopping: Option<Pin<Box<Sleep>>>,
    tls: Option<TlsFiles>,
    read: Option<Stamp>,
}

impl Watch {
    fn new(options: &Options, read: Option<Stamp>) -> Watch {
        let (mut beat, tls) = (interval(options.ping), options.tls.clone());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watch { beat, unanswered: 0, lived: false, stopping: None, tls, read }
    }

    fn heard<D: Desk>(
        &mut self,
        clerk: &mut Clerk<D>,
        word: Result<Option<Up>, Error>,
    ) -> Result<(), String> {
        let word = word.map_err(|error| crate::error::chain(&error))?;
        let word = word.ok_or("it has ended")?;
        match clerk.hear(word).map_err(|unsound| unsound.to_string())? {
            Heard::Asked => {}
            Heard::Pong => (self.unanswered, self.lived) = (0, true),
            Heard::Unusable(why) => {
                tracing::error!(%why, "the TLS files are of no use; those read before stay in use");
            }
        }
        Ok(())
    }

    fn ping<D: Desk>(&mut self, clerk: &Clerk<D>) -> Result<(), String> {
        if self.unanswered >= UNANSWERED {
            return Err("it hangs".to_owned());
        }
        self.unanswered += 1;
        clerk.say(Down::Ping);
        if self.tls.as_ref().is_some_and(|files| Some(files.stamp()) != self.read) {
            self.read_tls(clerk);
        }
        Ok(())
    }

    /// Reads the files again, whether they have changed or not.
    fn read_tls<D: Desk>(&mut self, clerk: &Clerk<D>) {
        let Some(files) = &self.tls else { return };
        self.read = Some(files.stamp());
        match files.read() {
            Ok(pair) => {
                tracing::info!("the TLS files are read anew");
                clerk.say(Down::Tls(pair));
            }
            Err(error) => {
                let error = crate::error::chain(&error);
                tracing::error!(%error, "those read before stay in use");
            }
        }
    }
}

impl Running {
    async fn start(options: &Options, listener: TcpListener) -> Result<Running, Error> {
        let start = |source| Error::Start { source };
        let (ours, theirs) = link::pair().map_err(start)?;
        let (said, errors) = Said::pipe("the front").map_err(start)?;
        let given = Given { input: theirs, output: listener.into(), errors };
        let args = ["front".to_owned(), "--uid".to_owned(), options.uid.to_string()];
        let process =
            again::start(&options.program, &args, &options.directory, given).map_err(start)?;
        let link = Link::new(ours).map_err(start)?;
        let mut front = Running { process, link, said };
        let greeted = tokio::select! {
            greeted = timeout(GREETING, greet(&front.link, options)) => greeted.ok(),
            // It never returns, but it logs.
            () = front.said.listen() => None,
        };
        match greeted.unwrap_or(Err(Error::Silent)) {
            Ok(()) => Ok(front),
            Err(error) => {
                front.end().await;
                Err(error)
            }
        }
    }

    /// However it is: stopped, hanging, or gone.
    async fn end(&self) {
        if let Err(error) = self.process.kill() {
            tracing::error!(%error, pid = self.process.pid(), "the old process cannot be ended");
            return;
        }
        self.process.wait().await;
    }
}

/// Its first words, and ours. Secrets go only to a front that is confined as asked.
async fn greet(link: &Link, options: &Options) -> Result<(), Error> {
    let lost = match link.hear().await? {
        Some(Up::Confined { lost }) => lost,
        _ => return Err(Error::Silent),
    };
    if options.confine && !lost.is_empty() {
        return Err(Error::Unconfined { lost: lost.join(", ") });
    }
    for lost in lost {
        tracing::warn!(%lost, "the process that faces the network goes without it");
    }
    let tls = options.tls.as_ref().map(TlsFiles::read).transpose()?;
    for word in options.hook.words(tls) {
        link.say(&word).await?;
    }
    match link.hear().await? {
        Some(Up::Serving) => Ok(()),
        Some(Up::Unusable { why }) => Err(Error::Tls { why: text::line(&why) }),
        _ => Err(Error::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::{Page, Taken};
    use super::*;
    use crate::forge::{Scope, WebhookAuth};
    use flint_core::event::ForgeEvent;
    use flint_core::id::ScopeId;
    use tokio::sync::mpsc::Receiver;

    #[derive(Clone)]
    struct NoDesk;

    impl Desk for NoDesk {
        fn deliver(
            &self,
            _: String,
            _: ForgeEvent,
        ) -> impl Future<Output = Taken> + Send + 'static {
            std::future::ready(Taken::Refused)
        }

        fn page(&self, _: Page, _: Seen) -> (bool, String) {
            (true, "x".repeat(100_000))
        }
    }

    fn clerk() -> (Clerk<NoDesk>, Receiver<Down>) {
        Clerk::new(NoDesk, vec![ScopeId::organization("o")], Seen::default())
    }

    fn watch(tls: Option<TlsFiles>) -> Watch {
        let hook = Hook::one(WebhookAuth::Insecure, Scope::Organization("o".to_owned()));
        let read = tls.as_ref().map(TlsFiles::stamp);
        let options = Options {
            program: again::SELF.into(),
            listen: ([127, 0, 0, 1], 0).into(),
            uid: 65_534,
            confine: true,
            directory: "/".into(),
            hook,
            tls,
            ping: PING,
        };
        Watch::new(&options, read)
    }

    fn files(folder: &std::path::Path) -> TlsFiles {
        let files = TlsFiles { certificate: folder.join("crt"), key: folder.join("key") };
        std::fs::write(&files.certificate, "a").unwrap();
        std::fs::write(&files.key, "b").unwrap();
        files
    }

    #[tokio::test]
    async fn pings_that_are_not_answered_are_a_hang_and_an_answer_is_life() {
        let (mut clerk, _answers) = clerk();
        let mut watch = watch(None);
        watch.ping(&clerk).unwrap();
        watch.heard(&mut clerk, Ok(Some(Up::Pong { counted: Default::default() }))).unwrap();
        assert!(watch.lived);
        watch.ping(&clerk).unwrap();
        watch.ping(&clerk).unwrap();
        assert_eq!(watch.ping(&clerk), Err("it hangs".to_owned()));
    }

    #[tokio::test]
    async fn files_are_read_again_when_a_ping_finds_them_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let ((mut clerk, mut answers), mut watch) = (clerk(), watch(Some(files.clone())));
        let mut pair = |watch: &mut Watch, clerk: &mut Clerk<NoDesk>| {
            watch.ping(clerk).unwrap();
            watch.heard(clerk, Ok(Some(Up::Pong { counted: Default::default() }))).unwrap();
            assert!(matches!(answers.try_recv(), Ok(Down::Ping)));
            answers.try_recv().ok()
        };
        assert!(pair(&mut watch, &mut clerk).is_none());
        std::fs::write(&files.key, "another one").unwrap();
        let Some(Down::Tls(read)) = pair(&mut watch, &mut clerk) else { panic!("it changed") };
        assert_eq!((read.certificate.as_str(), read.key.expose()), ("a", "another one"));
        assert!(pair(&mut watch, &mut clerk).is_none());
        std::fs::remove_file(&files.key).unwrap();
        assert!(pair(&mut watch, &mut clerk).is_none(), "those read before stay in use");
    }

    #[tokio::test]
    async fn a_word_out_of_bounds_and_a_second_greeting_end_the_front() {
        let (mut clerk, _answers) = clerk();
        let mut watch = watch(None);
        let mut say = |word| watch.heard(&mut clerk, Ok(Some(word))).unwrap_err();
        assert_eq!(say(Up::Serving), "a second greeting is out of bounds");
        let bad = r#"{"Delivery":{"number":1,"guid":"","fact":{"Queued":{"job":{"id":7,"attempt":1},
            "request":{"repository":"o/r","workflow":"","name":"","labels":[],"run_id":1,"url":""}}}}}"#;
        assert_eq!(say(serde_json::from_str(bad).unwrap()), "a delivery's id is out of bounds");
        assert_eq!(watch.heard(&mut clerk, Ok(None)), Err("it has ended".to_owned()));
    }

    #[tokio::test]
    async fn a_long_page_goes_in_pieces_and_a_page_too_often_is_refused() {
        let (mut clerk, mut answers) = clerk();
        let ask = Up::Page { number: 3, page: Page::Metrics, counted: Default::default() };
        let ask = serde_json::to_vec(&ask).unwrap();
        let mut page = || {
            clerk.hear(serde_json::from_slice(&ask).unwrap()).unwrap();
            let mut whole = String::new();
            loop {
                let Ok(Down::Text { number: 3, well, text, more }) = answers.try_recv() else {
                    panic!("a piece is missing");
                };
                whole.push_str(&text);
                if !more {
                    return (well, whole);
                }
            }
        };
        assert_eq!(page(), (true, "x".repeat(100_000)));
        let often: Vec<_> = (0..256).map(|_| page()).collect();
        assert_eq!(often.last(), Some(&(false, "asked too often\n".to_owned())));
    }
}
