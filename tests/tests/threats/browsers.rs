//! What a page that somebody opens on the archive's machine can make his browser do.

use system_tests::vellum::DataFolder;

use crate::attacker::{ask, data_set, exchange, file, status, stow};

/// A request without a body.
fn post(to: std::net::SocketAddr, path: &str, more: &str) -> u16 {
    status(&ask(to, "POST", path, &format!("Content-Length: 0\r\n{more}")))
}

/// Class 35: until there are users, whoever reaches the archive is trusted; a page of another origin is not the one who
/// opened it. Browsers say which it is (Fetch Metadata), and no page can change what they say.
#[test]
fn csrf_matrix() {
    let data = DataFolder::fresh();
    let server = data.serve();
    let to = server.http;
    let uid = b"1.2.826.0.1.3680043.10.9999.35";
    let bytes = file(&[], &data_set(uid, uid, uid, &[]));
    for site in ["cross-site", "same-site", "Cross-Site", "something-new"] {
        let more =
            format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: no-cors\r\nOrigin: https://elsewhere.example\r\n");
        assert_eq!(status(&exchange(to, &stow(to, &more, &bytes))), 403, "{site}");
        for path in ["/api/v1/seal", "/api/v1/rebuild", "/api/v1/verify", "/api/v1/instances", "/api/v1/ledger/verify"]
        {
            assert_eq!(post(to, path, &more), 403, "{site} {path}");
        }
        // Reading is left to the browser, which shows such a page nothing: there is no CORS.
        let read = ask(to, "GET", "/dicom-web/studies", &more);
        assert!(!read.to_ascii_lowercase().contains("access-control-allow"), "{read}");
        let preflight =
            ask(to, "OPTIONS", "/dicom-web/studies", &format!("{more}Access-Control-Request-Method: POST\r\n"));
        assert!(!preflight.to_ascii_lowercase().contains("access-control-allow"), "{preflight}");
    }
    let nothing = ask(to, "GET", "/dicom-web/studies", "");
    assert_eq!(status(&nothing), 204, "nothing was stored: {nothing}");
    for more in ["", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
        assert_eq!(status(&exchange(to, &stow(to, more, &bytes))), 200, "{more}");
    }
}
