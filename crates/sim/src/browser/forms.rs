//! A browser that knows nothing but forms: it reads the one on a page, submits it, and goes where that leads.

use anyhow::{Context as _, Result};
use reqwest::header::CONTENT_TYPE;
use url::Url;
use url::form_urlencoded::Serializer;

/// The browser.
pub struct Forms {
    http: reqwest::Client,
}

/// Where it came to.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// Its address, after all redirects.
    pub url: Url,
    /// Its text, with markup.
    pub html: String,
}

impl Forms {
    /// A new one, without a proxy.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new() -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Forms { http: reqwest::Client::builder().no_proxy().build()? })
    }

    /// Opens a page.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn open(&self, url: impl AsRef<str>) -> Result<Page> {
        let url = Url::parse(url.as_ref())?;
        Page::of(self.http.get(url).send().await?).await
    }

    /// Submits the form of a page, with some fields filled in otherwise.
    ///
    /// # Errors
    /// When there is none, or nobody answers.
    pub async fn submit(&self, page: &Page, changes: &[(&str, &str)]) -> Result<Page> {
        let action = page.attribute("<form", "action").context("the page has no form")?;
        let mut fields = page.fields();
        for (name, value) in changes {
            fields.retain(|(field, _)| field != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.post(&page.url.join(&action)?, &fields).await
    }

    /// Sends fields somewhere, as a form does.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn post(&self, url: &Url, fields: &[(String, String)]) -> Result<Page> {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(url.clone());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        Page::of(request.send().await?).await
    }
}

impl Page {
    async fn of(response: reqwest::Response) -> Result<Page> {
        let (status, url) = (response.status().as_u16(), response.url().clone());
        Ok(Page { status, url, html: response.text().await? })
    }

    /// The fields of its form, as they are filled in.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let inputs = self.html.split("<input").skip(1);
        let pairs = inputs.filter_map(|rest| {
            let tag = rest.split('>').next()?;
            Some((attribute(tag, "name")?, attribute(tag, "value")?))
        });
        pairs.collect()
    }

    fn attribute(&self, tag: &str, name: &str) -> Option<String> {
        let (_, rest) = self.html.split_once(tag)?;
        attribute(rest.split('>').next()?, name)
    }
}

/// Values stand between double quotes on all pages that this is for.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let pairs = [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    Some(pairs.into_iter().fold(value.to_owned(), |text, (safe, plain)| text.replace(safe, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_browser_reads_it() {
        let html = "<form action=\"/x?a=1&amp;b\" method=\"post\"><input type=\"hidden\" name=\"m\" \
                    value=\"{&quot;a&quot;:&quot;&amp;lt;&quot;}\"><input name=\"n\" value=\"\"></form>";
        let url = Url::parse("http://127.0.0.1/").unwrap();
        let page = Page { status: 200, url, html: html.to_owned() };
        assert_eq!(page.attribute("<form", "action").as_deref(), Some("/x?a=1&b"));
        let wanted = [("m", "{\"a\":\"&lt;\"}"), ("n", "")];
        assert_eq!(page.fields(), wanted.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
