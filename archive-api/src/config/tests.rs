use super::*;

fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, text).unwrap();
    load(Some(&file), environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

#[test]
fn nothing_configured_is_the_default() {
    assert_eq!(load(None, []).unwrap(), Config::default());
}

#[test]
fn what_is_shown_can_be_read_again() {
    let text = toml::to_string(&Config::default()).unwrap();
    assert_eq!(from(&text, &[]).unwrap(), Config::default());
}

#[test]
fn a_wrong_key_is_named_with_the_nearest_right_one() {
    for (text, nearest) in [
        ("[journal]\nmiror = \"/x\"", "journal.mirror"),
        ("[jurnal]\nmirror = \"/x\"", "journal.mirror"),
        ("[stores.main]\nbuckett = \"x\"", "stores.*.bucket"),
    ] {
        let error = from(text, &[]).unwrap_err().to_string();
        assert!(error.contains(nearest), "{error}");
    }
    let error = from("", &[("VELLUM_SEAL__QUITE", "3m")]).unwrap_err().to_string();
    assert!(error.contains("seal.quiet"), "{error}");
}

#[test]
fn the_environment_goes_before_the_file() {
    let config = from("[seal]\nquiet = \"5m\"\nzstd_level = 2", &[("VELLUM_SEAL__QUIET", "10s")]).unwrap();
    assert_eq!(config.seal.quiet, Period::seconds(10));
    assert_eq!(config.seal.zstd_level, 2);
    let config = from("", &[("VELLUM_STORES__MAIN__PATH", "/srv/store"), ("VELLUM_DATA", "/x")]).unwrap();
    assert_eq!(config.stores["main"].path, PathBuf::from("/srv/store"));
}

#[test]
fn beyond_loopback_it_refuses_to_listen() {
    let error = from("[http]\nlisten = \"0.0.0.0:80\"", &[]).unwrap_err().to_string();
    assert!(error.contains("loopback"), "{error}");
}

#[test]
fn keys_that_contradict_each_other_are_both_named() {
    let wrong = [
        ("[journal]\ncap = \"1GiB\"\nsegment = \"2GiB\"", ["journal.cap", "journal.segment"]),
        ("[journal]\nmemory = \"4MiB\"", ["journal.memory", "journal.inline"]),
        ("[seal]\nquiet = \"2h\"", ["seal.quiet", "seal.max_age"]),
        ("[dimse]\nlisten = \"127.0.0.1:8080\"", ["http.listen", "dimse.listen"]),
        ("[stores.main]\naccess_key_file = \"/x\"", ["stores.main.access_key_file", "stores.main.secret_key_file"]),
    ];
    for (text, keys) in wrong {
        let error = from(text, &[]).unwrap_err().to_string();
        assert!(keys.iter().all(|key| error.contains(key)), "{text}: {error}");
    }
    // The bounds themselves are no contradiction, nor are two doors on whatever ports the system picks.
    for text in [
        "[journal]\ncap = \"1GiB\"\nsegment = \"1GiB\"",
        "[seal]\nquiet = \"1h\"",
        "[http]\nlisten = \"127.0.0.1:0\"\n[dimse]\nlisten = \"127.0.0.1:0\"",
    ] {
        let _fits = from(text, &[]).unwrap();
    }
}

#[test]
fn sizes_and_periods_read_as_people_write_them() {
    assert_eq!(ByteSize::try_from("512MiB".to_owned()), Ok(ByteSize::mib(512)));
    assert_eq!(ByteSize::mib(512).to_string(), "512MiB");
    assert!(ByteSize::try_from("many".to_owned()).unwrap_err().contains("512MiB"));
    assert_eq!(Period::try_from("24h".to_owned()), Ok(Period::seconds(86_400)));
    assert_eq!(Period::try_from("1d".to_owned()), Ok(Period::seconds(86_400)));
    assert_eq!(Period::try_from(Period::seconds(5400).to_string()), Ok(Period::seconds(5400)));
    assert!(Period::try_from("-3s".to_owned()).is_err());
}
