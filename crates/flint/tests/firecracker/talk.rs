//! The host's side of the conversation with a guest, as a test wants it: each step waits for its fact or fails.

use super::lab::within;
use flint::vmm::Channel;
use flint_wire::frame::{Decoder, Resync, encode, opening};
use flint_wire::guest::Stream;
use flint_wire::{FromGuest, Network, Said, Secret, ToGuest, Work};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An open conversation.
pub(crate) struct Talk {
    stream: Channel,
    lines: Decoder<Said>,
    resync: Resync,
    heard: u64,
    thanked: u64,
    /// Whether each message is acknowledged as it comes.
    pub(crate) acknowledge: bool,
}

impl Talk {
    /// Says hello and waits until the guest has echoed the nonce; says whether it was configured before.
    pub(crate) async fn open(mut stream: Channel) -> (Talk, bool) {
        let nonce = format!("{:064x}", std::process::id());
        let hello = opening(&nonce).unwrap();
        stream.write_all(&hello).await.expect("a guest that was reached takes a hello");
        let (lines, resync) = (Decoder::new(), Resync::new(nonce));
        let mut talk = Talk { stream, lines, resync, heard: 0, thanked: 0, acknowledge: true };
        match talk.next().await {
            FromGuest::Hello { configured, .. } => (talk, configured),
            other => panic!("a hello is answered by a hello, not by {other:?}"),
        }
    }

    /// Configures the guest and waits until it is ready.
    pub(crate) async fn make_ready(&mut self, hostname: &str, network: Option<Network>) {
        let entropy = Secret::new("5a".repeat(32));
        self.say(&ToGuest::Configure {
            hostname: hostname.to_owned(),
            time_unix_ns: 1,
            entropy,
            network,
        })
        .await;
        self.until("ready", |said| matches!(said, FromGuest::Ready { .. }).then_some(())).await;
    }

    /// Gives it a command.
    pub(crate) async fn command(&mut self, argv: &[&str]) {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        self.say(&ToGuest::Work(Work::Command { argv })).await;
    }

    /// Gives it a runner's secret.
    pub(crate) async fn runner(&mut self, secret: &str) {
        let jit_config = Secret::new(secret.to_owned());
        self.say(&ToGuest::Work(Work::Runner {
            jit_config,
            admits: None,
            repositories: None,
            ca_certificates: None,
        }))
        .await;
    }

    pub(crate) async fn say(&mut self, message: &ToGuest) {
        let line = encode(message).unwrap();
        within("taking a message", self.stream.write_all(&line)).await.expect("the guest listens");
    }

    /// The next thing the guest says.
    pub(crate) async fn next(&mut self) -> FromGuest {
        within("saying something", self.take()).await.expect("the guest has more to say")
    }

    /// Waits until the stream ends, and says whether it did so without another word.
    pub(crate) async fn is_cut(&mut self) -> bool {
        within("ending the stream", self.take()).await.is_none()
    }

    /// Reads on until `wanted` finds what it looks for.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&FromGuest) -> Option<T>,
    ) -> T {
        loop {
            let said = self.next().await;
            if let Some(found) = wanted(&said) {
                return found;
            }
            assert!(said != FromGuest::Bye, "the guest says bye before {what}");
        }
    }

    /// Everything up to the guest's bye: the texts it logged, and its exit code.
    pub(crate) async fn rest(&mut self) -> (Vec<String>, i32) {
        let (mut texts, mut exit) = (Vec::new(), None);
        loop {
            match self.next().await {
                FromGuest::Log { text, stream: Stream::Out | Stream::Err, .. } => texts.push(text),
                FromGuest::Exited { code } => exit = Some(code),
                FromGuest::Bye => return (texts, exit.expect("work ends before the guest does")),
                _ => {}
            }
        }
    }

    async fn thank(&mut self) {
        if self.acknowledge && self.heard > self.thanked {
            self.thanked = self.heard;
            let line = encode(&ToGuest::Ack { seq: self.heard }).unwrap();
            // A guest that is gone needs no thanks; the next read tells.
            let _ = self.stream.write_all(&line).await;
        }
    }

    async fn take(&mut self) -> Option<FromGuest> {
        let mut read = [0; 4096];
        loop {
            if let Some(line) = self.lines.next_message() {
                let Some(said) = self.resync.admit(line) else { continue };
                let said = said.expect("the guest speaks the protocol");
                self.heard = said.seq;
                if said.message == FromGuest::Bye {
                    self.thank().await;
                }
                return Some(said.message);
            }
            // Once for all that one read brought.
            self.thank().await;
            match self.stream.read(&mut read).await {
                Ok(length @ 1..) => self.lines.push(&read[..length]),
                _ => return None,
            }
        }
    }
}
