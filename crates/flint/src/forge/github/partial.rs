//! What was found of an answer, and how it ends: by the word that closes the question, or by what cut it off.

use crate::forge::{Error, Scope, Told};
use crate::text;
use flint_core::ask::{AskFailure, Question};
use flint_core::event::ForgeEvent;
use std::error::Error as _;

/// An answer before it is closed.
pub(super) struct Partial {
    pub(super) told: Vec<Told>,
    pub(super) end: Result<ForgeEvent, Cut>,
}

/// Why the rest is missing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) failure: AskFailure,
    pub(super) why: String,
}

/// A repository's name in its two parts. They are text of strangers, and become segments of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repository<'a> {
    pub(super) full: &'a str,
    pub(super) owner: &'a str,
    pub(super) name: &'a str,
}

impl Partial {
    /// One fact that is the whole answer.
    pub(super) fn whole(event: ForgeEvent) -> Self {
        Partial { told: Vec::new(), end: Ok(event) }
    }

    /// Nothing was found.
    pub(super) fn cut(cut: Cut) -> Self {
        Partial { told: Vec::new(), end: Err(cut) }
    }

    /// The answer with the word that closes it.
    pub(super) fn closed(self, question: Question) -> Vec<Told> {
        let mut told = self.told;
        let event = self.end.unwrap_or_else(|Cut { failure, why }| {
            tracing::warn!(
                ?question,
                error = why,
                found = told.len(),
                "an answer of GitHub's is not whole"
            );
            ForgeEvent::AskFailed { question, failure, why }
        });
        told.push(fact(event));
        told
    }
}

impl Cut {
    /// It is asked again after a while.
    pub(super) fn transient(why: String) -> Self {
        Cut { failure: AskFailure::Transient, why }
    }
}

impl From<Error> for Cut {
    fn from(error: Error) -> Self {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        Cut { failure: error.ask_failure(), why }
    }
}

impl<'a> Repository<'a> {
    /// Takes `owner/name` of our scope, and nothing else.
    pub(super) fn parse(full: &'a str, scope: &Scope) -> Result<Self, Cut> {
        let refused = |problem: &str| Cut {
            failure: AskFailure::Refused,
            why: format!("cannot ask about the repository `{}`: {problem}", text::line(full)),
        };
        // A URL's path takes these two for steps, and leaves them out.
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('/');
        match full.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => {
                let ours = scope.covers(full);
                let whose = format!("it is not one of `{scope}`, which this daemon serves");
                if ours { Ok(Repository { full, owner, name }) } else { Err(refused(&whose)) }
            }
            Some(_) | None => Err(refused("its name should be `owner/name`")),
        }
    }

    /// The path of something that belongs to it.
    pub(super) fn path<'b>(&'b self, below: &[&'b str]) -> Vec<&'b str> {
        let mut path = vec!["repos", self.owner, self.name];
        path.extend(below);
        path
    }
}

/// A fact that came in no delivery.
pub(super) fn fact(event: ForgeEvent) -> Told {
    Told { delivery: None, event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_and_a_name_and_is_ours() {
        let scope = Scope::Organization("flint-demo".to_owned());
        let parsed = Repository::parse("Flint-Demo/wid gets?", &scope).expect("it is one of ours");
        assert_eq!((parsed.owner, parsed.name), ("Flint-Demo", "wid gets?"));
        assert_eq!(parsed.path(&["actions"]), ["repos", "Flint-Demo", "wid gets?", "actions"]);
        for (text, part) in [
            ("", "should be `owner/name`"),
            ("flint-demo", "should be `owner/name`"),
            ("flint-demo/", "should be `owner/name`"),
            ("/widgets", "should be `owner/name`"),
            ("flint-demo/a/b", "should be `owner/name`"),
            ("flint-demo/..", "should be `owner/name`"),
            ("./widgets", "should be `owner/name`"),
            ("somebody/else", "it is not one of `flint-demo`"),
        ] {
            let cut = Repository::parse(text, &scope).expect_err("it is refused");
            assert_eq!(cut.failure, AskFailure::Refused, "{text}");
            assert!(
                cut.why.contains(part) && cut.why.contains(&format!("`{text}`")),
                "{}",
                cut.why
            );
        }
    }

    #[test]
    fn what_was_found_is_told_before_the_word_that_the_rest_is_missing() {
        let found = ForgeEvent::JobAsked {
            job: flint_core::id::JobKey { id: 1, attempt: 1 },
            found: flint_core::ask::Found::Held,
            asked: flint_core::units::Timestamp(1),
        };
        let cut = Cut::transient("too long".to_owned());
        let partial = Partial { told: vec![fact(found.clone())], end: Err(cut) };
        let failure = AskFailure::Transient;
        let scope = flint_core::id::ScopeId::organization("o");
        let question = Question::Runners { scope };
        let why = "too long".to_owned();
        let failed = ForgeEvent::AskFailed { question: question.clone(), failure, why };
        assert_eq!(partial.closed(question), [fact(found), fact(failed)]);
    }
}
