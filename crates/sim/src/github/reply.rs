//! The plainest answer.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// A JSON body; null is an empty body, because 202 and 204 come without one.
pub(super) struct Reply(pub(super) Value);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        if self.0.is_null() { ().into_response() } else { Json(self.0).into_response() }
    }
}
