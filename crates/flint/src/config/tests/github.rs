//! `[github]`: who Flint is there, its secrets, and which source wins.

use super::*;

#[test]
fn a_flag_for_the_secret_replaces_the_files_secret_file() {
    let given = given("[github]\nwebhook_secret_file = \"/nowhere\"\n");
    let github = good(&given.sources).github.remove(0);
    assert_eq!(secrets(&github), ["ABCDefgh"]);
}

#[test]
fn secrets_may_come_as_systemd_credentials() {
    let mut given = given("");
    let directory = given.directory.path();
    fs::write(directory.join("webhook-secret"), "from systemd\n").unwrap();
    fs::copy(directory.join("key.pem"), directory.join("private-key")).unwrap();
    given.sources.credentials = Some(directory.to_owned());
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.repository", "octocat/hello-world");
    given.sources.flags.set("github.app_id", "Iv23liAbc");
    let github = good(&given.sources).github.remove(0);
    assert_eq!(secrets(&github), ["from systemd"]);
    assert_eq!(app(&github).1, KEY.trim_end());
}

#[test]
fn a_token_stands_in_for_an_app() {
    let mut given = given("");
    let path = given.directory.path().join("token");
    fs::write(&path, "ghp_secret\n").unwrap();
    given.sources.flags.set("github.token_file", path.to_str().unwrap());
    let both = bad(&given.sources);
    assert!(both.starts_with("error: both an App and a token are given"), "{both}");
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.organization", "octo-org");
    given.sources.flags.set("github.webhook_secret", "ABCDefgh");
    given.sources.flags.set("github.token_file", path.to_str().unwrap());
    let Credentials::Token(token) = good(&given.sources).github.remove(0).credentials else {
        panic!("it is a token")
    };
    assert_eq!(token.expose(), "ghp_secret");
    fs::write(&path, "two words").unwrap();
    let wrong = bad(&given.sources);
    assert!(wrong.contains("holds no token") && !wrong.contains("two words"), "{wrong}");
}

#[test]
fn without_a_secret_flint_starts_only_if_told_to() {
    let mut given = given("");
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.organization", "octo-org");
    given.sources.flags.set("github.app_id", "1");
    let key = given.directory.path().join("key.pem");
    given.sources.flags.set("github.private_key", key.to_str().unwrap());
    insta::assert_snapshot!(bad(&given.sources));
    given.sources.flags.set("github.insecure_no_secret", "true");
    let checked = check(&given.sources, &machine(), Purpose::Serve);
    assert!(checked.report.render(false).starts_with("warning: webhooks are taken from anyone"));
    let github = checked.config.unwrap().github.remove(0);
    assert!(matches!(github.webhooks, Webhooks::Unsigned));
}

#[test]
fn a_microvm_by_hand_needs_no_github() {
    let config = check(&Sources::default(), &machine(), Purpose::Local).config.unwrap();
    assert!(config.github.is_empty());
}

#[test]
fn nothing_given_names_all_that_is_missing() {
    insta::assert_snapshot!(bad(&Sources::default()));
}

#[test]
fn a_repository_flag_replaces_the_files_organization() {
    let mut given = given("[github]\norganization = \"octo-org\"\n");
    let mut flags = Flags::default();
    for key in ["github.app_id", "github.private_key", "github.webhook_secret"] {
        flags.set(key, given.sources.flags.get(key).unwrap());
    }
    flags.set("github.repository", "octocat/hello-world");
    given.sources.flags = flags;
    let scopes = good(&given.sources).github.remove(0).scopes;
    assert!(matches!(scopes.as_slice(), [Scope::Repository { .. }]));
}

#[test]
fn a_key_that_is_missing_unreadable_or_none_is_a_problem_of_its_own() {
    let given = given("");
    let directory = given.directory.path();
    fs::write(directory.join("none.pem"), "hello").unwrap();
    fs::write(directory.join("empty.pem"), "\n").unwrap();
    fs::write(directory.join("binary.pem"), [0xff, 0xfe]).unwrap();
    for (file, words) in [
        ("absent.pem", "No such file"),
        ("none.pem", "holds no private key"),
        ("empty.pem", "is empty"),
        ("binary.pem", "cannot read the private key"),
        (".", "Is a directory"),
    ] {
        let mut sources = given.sources.clone();
        sources.flags.set("github.private_key", directory.join(file).to_str().unwrap());
        let shown = bad(&sources);
        assert!(shown.contains(words) && shown.contains("--private-key"), "{shown}");
    }
}

#[test]
fn a_key_that_everyone_can_read_is_a_warning() {
    let given = given("");
    let key = given.directory.path().join("key.pem");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let checked = check(&given.sources, &machine(), Purpose::Serve);
    assert!(checked.config.is_some());
    assert!(checked.report.problems[0].help.as_ref().unwrap().starts_with("chmod 600"));
}

#[test]
fn an_authority_that_cannot_be_used_is_named_at_its_line() {
    let mut given = given("");
    let path = given.directory.path().join("ca.pem");
    let text = format!("[github]\nca_certificate = \"{}\"\n", path.display());
    given.sources.file = Some(File { path: "flint.toml".into(), text });
    for (text, problem, help) in [
        (None, "No such file or directory", "is the path right?"),
        (Some(""), "it is empty", "-----BEGIN CERTIFICATE-----"),
        (Some(KEY), "there is a private key in it", "give only the authority's certificate"),
    ] {
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let told = bad(&given.sources);
        let named = format!("cannot use the CA certificate `{}`: {problem}", path.display());
        assert!(told.contains(&named) && told.contains("flint.toml:2:"), "{told}");
        assert!(told.contains(help), "{told}");
    }
}

#[test]
fn the_address_of_githubs_pages_is_not_that_of_its_api() {
    for (wrong, meant) in [
        ("https://github.com", "leave it out, or write `https://api.github.com`"),
        ("https://www.github.com/acme", "`https://api.github.com`"),
        ("https://octo.ghe.com", "`https://api.octo.ghe.com`"),
    ] {
        let mut given = given("");
        given.sources.flags.set("github.url", wrong);
        let refused = bad(&given.sources);
        let begins = "error: `github.url` is not GitHub's REST address but that of its pages: ";
        assert!(refused.starts_with(begins) && refused.contains(meant), "{refused}");
    }
    for right in ["https://api.octo.ghe.com", "https://ghes.example", "http://127.0.0.1:4000"] {
        let mut given = given("");
        given.sources.flags.set("github.url", right);
        let url = good(&given.sources).github.remove(0).url;
        assert_eq!(url.as_str(), format!("{right}/"));
    }
}
