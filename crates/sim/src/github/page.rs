//! Lists as GitHub gives them: a page, and where the next one is.

use super::server::Shared;
use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use url::form_urlencoded::Serializer;

/// GitHub's query of a call.
pub(super) type Asked = BTreeMap<String, String>;

/// Which part of a list is asked for.
pub(super) struct Page {
    size: usize,
    number: usize,
}

impl Page {
    /// GitHub's bounds: 100 to a page, 30 when nothing is said; numbers begin with 1.
    pub(super) fn of(asked: &Asked) -> Self {
        let number = |key: &str, default: usize| {
            asked.get(key).and_then(|n| n.parse().ok()).unwrap_or(default).max(1)
        };
        Page { size: number("per_page", 30).min(100), number: number("page", 1) }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Cuts the page out, and says whether there is another.
    pub(super) fn cut<T>(&self, all: impl Iterator<Item = T>) -> (Vec<T>, bool) {
        let skipped = (self.number - 1).saturating_mul(self.size);
        let mut rest = all.skip(skipped);
        let page = rest.by_ref().take(self.size).collect();
        (page, rest.next().is_some())
    }

    /// The query of the page that follows.
    pub(super) fn next(&self) -> (&'static str, String) {
        ("page", (self.number + 1).to_string())
    }
}

/// A page as an answer. `next` is what its successor's query says differently.
pub(super) struct Listed {
    body: Value,
    link: Option<String>,
}

impl Listed {
    pub(super) fn new(
        shared: &Shared,
        path: &str,
        asked: &Asked,
        body: Value,
        next: Option<(&'static str, String)>,
    ) -> Self {
        let link =
            next.map(|(key, value)| link(&shared.config.public_url, path, asked, key, &value));
        Listed { body, link }
    }
}

/// `Link`, with one relation: the page that follows.
pub(super) fn link(base: &str, path: &str, asked: &Asked, key: &str, value: &str) -> String {
    let others = asked.iter().filter(|(other, _)| *other != key);
    let query =
        Serializer::new(String::new()).extend_pairs(others).append_pair(key, value).finish();
    format!("<{base}{path}?{query}>; rel=\"next\"")
}

impl IntoResponse for Listed {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Some(link) = self.link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}
