//! The addresses that answers contain.
//!
//! `http.public_url` if it is set; otherwise what the client itself called us, its `Host`. `Forwarded` and its kin are
//! not believed: anyone can send them. A `Host` is used only if it is made of the characters of a host, so that nothing
//! else that was received ever becomes part of an address.
//!
//! Some clients (dicomweb-client 0.61) leave the port out of `Host` whatever it is. Where such a `Host` is the very
//! address that the connection reached, the port that it reached is added; where it is a name, a proxy may stand before
//! us on the default port, and `http.public_url` has to say so if not.

use std::net::SocketAddr;

use archive_core::identifiers::{SeriesUid, SopUid, StudyUid};
use http::header::HOST;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::config::HttpConfig;
use super::doors::Local;
use super::router::DICOMWEB_PATH;

/// What a path segment keeps as it is: unreserved characters (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A host with port is at most this long: 253 characters of name, a colon, five digits, brackets.
const HOST_CHARACTERS_MAX: usize = 262;

/// The address of the DICOMweb service, as this client sees it: without a slash at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The address for answers to this request.
    #[must_use]
    pub fn of(config: &HttpConfig, request: &Parts) -> Self {
        if let Some(public) = &config.public_url {
            return Self(format!("{}{DICOMWEB_PATH}", public.trim_end_matches('/')));
        }
        let header = request.headers.get(HOST).and_then(|value| value.to_str().ok());
        let host = request.uri.authority().map(http::uri::Authority::as_str).or(header);
        let host = host.filter(|host| is_host(host)).unwrap_or("localhost");
        let port = request.extensions.get::<Local>().and_then(|local| missing_port(host, local.0));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Self(format!("http://{host}{port}{DICOMWEB_PATH}"))
    }

    /// A study.
    #[must_use]
    pub fn study(&self, study: &StudyUid) -> String {
        format!("{}/studies/{}", self.0, segment(study.as_str()))
    }

    /// A series.
    #[must_use]
    pub fn series(&self, study: &StudyUid, series: &SeriesUid) -> String {
        format!("{}/series/{}", self.study(study), segment(series.as_str()))
    }

    /// An instance.
    #[must_use]
    pub fn instance(&self, study: &StudyUid, series: &SeriesUid, sop: &SopUid) -> String {
        format!("{}/instances/{}", self.series(study, series), segment(sop.as_str()))
    }
}

/// The port to add to a host that has none and is the address reached.
fn missing_port(host: &str, reached: SocketAddr) -> Option<u16> {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_reached = literal.parse() == Ok(reached.ip()) || (host == "localhost" && reached.ip().is_loopback());
    (is_reached && reached.port() != 80).then_some(reached.port())
}

fn segment(text: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(text, SEGMENT)
}

fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (1..=HOST_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(host: &str) -> BaseUrl {
        let request = http::Request::builder().uri("/x").header(HOST, host).body(()).unwrap();
        BaseUrl::of(&HttpConfig::default(), &request.into_parts().0)
    }

    #[test]
    fn an_address_begins_with_what_the_client_called_us() {
        assert_eq!(base("archive.example:8080").0, "http://archive.example:8080/dicom-web");
        assert_eq!(base("[::1]:80").0, "http://[::1]:80/dicom-web");
    }

    #[test]
    fn a_hostile_host_does_not_reach_an_address() {
        for host in ["evil\"quoted", "a/b", "a b", "user@evil", ""] {
            assert_eq!(base(host).0, "http://localhost/dicom-web", "{host}");
        }
    }

    #[test]
    fn a_port_left_out_is_added_only_where_the_host_is_the_address_reached() {
        let reached = SocketAddr::from(([127, 0, 0, 1], 8080));
        for (host, base) in [
            ("127.0.0.1", "http://127.0.0.1:8080/dicom-web"),
            ("localhost", "http://localhost:8080/dicom-web"),
            ("127.0.0.1:9", "http://127.0.0.1:9/dicom-web"),
            ("pacs.example", "http://pacs.example/dicom-web"),
            ("10.0.0.1", "http://10.0.0.1/dicom-web"),
        ] {
            let request =
                http::Request::builder().uri("/x").header(HOST, host).extension(Local(reached)).body(()).unwrap();
            assert_eq!(BaseUrl::of(&HttpConfig::default(), &request.into_parts().0).0, base);
        }
    }

    #[test]
    fn a_public_url_wins() {
        let config = HttpConfig { public_url: Some("https://pacs.example/vna/".into()), ..HttpConfig::default() };
        let request = http::Request::builder().uri("/x").header(HOST, "inside").body(()).unwrap();
        let base = BaseUrl::of(&config, &request.into_parts().0);
        assert_eq!(base.0, "https://pacs.example/vna/dicom-web");
    }

    #[test]
    fn a_uid_that_is_none_stays_one_segment() {
        let study = StudyUid::parse("../\"x y").unwrap();
        assert_eq!(base("h").study(&study), "http://h/dicom-web/studies/..%2F%22x%20y");
    }
}
