//! Several organizations, repositories and an enterprise: what an entry serves, and what cannot stand beside another.

use super::*;

/// A file that says it all; `DIR` is a directory with a key, a token and a secret.
fn alone(file: &str) -> Given {
    let mut given = given("");
    let directory = given.directory.path();
    for (name, text) in [("token", "ghp_secret"), ("secret", "ABCDefgh")] {
        let path = directory.join(name);
        fs::write(&path, text).expect("the directory is there");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).expect("it is there");
    }
    let text = file.replace("DIR", directory.to_str().expect("its name is plain"));
    given.sources.flags = Flags::default();
    given.sources.file = Some(File { path: "flint.toml".into(), text });
    given
}

/// The report without the name of the directory.
fn refused(file: &str) -> String {
    let given = alone(file);
    let directory = given.directory.path().to_str().expect("its name is plain").to_owned();
    bad(&given.sources).replace(&directory, "DIR")
}

fn warned(file: &str) -> String {
    let given = alone(file);
    let checked = check(&given.sources, &machine(), Purpose::Serve);
    assert!(checked.config.is_some(), "{}", checked.report.render(false));
    checked.report.render(false)
}

/// An entry by an App of its own.
fn app(scopes: &str, id: u32) -> String {
    format!(
        "[[github]]\n{scopes}\napp_id = {id}\nprivate_key = \"DIR/key.pem\"\nwebhook_secret_file = \"DIR/secret\"\n"
    )
}

/// An entry by a token.
fn token(scopes: &str) -> String {
    format!("[[github]]\n{scopes}\ntoken_file = \"DIR/token\"\n")
}

/// A profile with a scale set.
fn set(name: &str, more: &str) -> String {
    format!("[[profile]]\nname = \"{name}\"\nsource = \"scale-set\"\n{more}\n")
}

fn ids(github: &GithubOptions) -> Vec<String> {
    github.scopes.iter().map(|scope| scope.id().to_string()).collect()
}

fn scope(config: &Config, name: &str) -> String {
    let scope = profile(config, name).profile.scope.as_ref();
    scope.map_or_else(String::new, ToString::to_string)
}

#[test]
fn one_app_serves_some_repositories_of_a_person_and_what_else_it_is_installed_in() {
    let repositories = "repository = [\"ana/site\", \"Ana/Blog\", \"ana/lab\"]";
    let config = good(&alone(&app(repositories, 1)).sources);
    assert_eq!(config.github.len(), 1);
    assert_eq!(ids(&config.github[0]), ["ana/site", "ana/blog", "ana/lab"]);
    let both = app("organization = [\"acme\"]\nrepository = \"ana/site\"", 1);
    assert_eq!(ids(&good(&alone(&both).sources).github[0]), ["acme", "ana/site"]);
    let table = both.replace("[[github]]", "[github]");
    assert_eq!(ids(&good(&alone(&table).sources).github[0]), ["acme", "ana/site"]);
}

#[test]
fn each_entry_has_an_app_an_address_and_a_group_of_its_own() {
    let first = app("organization = \"acme\"", 1);
    let url = "url = \"https://ghes.example/api/v3\"\nrunner_group = \"big\"";
    let second = app(&format!("organization = \"beta\"\n{url}"), 2);
    let listed = "[[profile]]\nname = \"a\"\negress = \"github\"\n";
    let config = good(&alone(&(first + &second + listed)).sources);
    let [acme, beta] = config.github.as_slice() else { panic!("there are two") };
    assert_eq!((ids(acme), super::app(acme).0), (vec!["acme".to_owned()], "1"));
    assert_eq!((ids(beta), super::app(beta).0), (vec!["beta".to_owned()], "2"));
    assert_eq!(acme.url.as_str(), "https://api.github.com/");
    assert_eq!(beta.url.as_str(), "https://ghes.example/api/v3/");
    assert_eq!(beta.runner_group, RunnerGroup::Name("big".to_owned()));
    let names = profile(&config, "a").egress.names().expect("it has names");
    for host in ["github.com", "ghes.example", "codeload.ghes.example"] {
        assert!(names.iter().any(|name| name.covers(host)), "{host}");
    }
}

#[test]
fn flags_and_variables_replace_what_the_file_serves_whatever_its_kind() {
    let mut given = alone(&app("organization = \"acme\"\nrepository = \"ana/x\"", 1));
    let variable = ("FLINT_REPOSITORY".to_owned(), "bo/x, bo/y".to_owned().into());
    given.sources.variables.extend([variable]);
    assert_eq!(ids(&good(&given.sources).github[0]), ["bo/x", "bo/y"]);
    given.sources.flags.set("github.organization", "flag-org");
    assert_eq!(ids(&good(&given.sources).github[0]), ["flag-org"]);
    given.sources.flags.set("github.organization", "");
    let empty = bad(&given.sources);
    assert!(empty.contains("`github.organization` is not an organization's login"), "{empty}");
}

#[test]
fn a_repository_of_two_scopes_and_an_owner_of_two_entries_are_refused() {
    let first =
        app("organization = [\"acme\", \"Acme\"]\nrepository = [\"acme/web\", \"ana/x\"]", 1);
    let second =
        app("organization = \"beta\"\nrepository = [\"ACME/api\", \"ana/y\", \"ana/x\"]", 2);
    let third = token("enterprise = \"corp\"") + &token("enterprise = \"other\"");
    insta::assert_snapshot!(refused(&(first + &second + &third)));
}

#[test]
fn what_an_entry_lacks_is_said_at_its_line() {
    let good = app("organization = \"acme\"", 1);
    let wrong = "[[github]]\n[[github]]\norganization = []\ntoken_file = \"DIR/token\"\nwebhook_secret = \"x\"\n\
                 [[github]]\nrepository = [\"b/c\", \"b\", 3]\napp_id = 7\nrunner-group = 1\n";
    insta::assert_snapshot!(refused(&(good + wrong)));
}

#[test]
fn flags_that_cannot_say_which_entry_is_meant_are_named() {
    let entries = app("organization = \"acme\"", 1) + &app("organization = \"beta\"", 2);
    let mut given = alone(&entries);
    given.sources.flags.set("github.organization", "gamma");
    let variable = ("FLINT_RUNNER_GROUP".to_owned(), "3".to_owned().into());
    given.sources.variables.extend([variable]);
    insta::assert_snapshot!(bad(&given.sources));
}

#[test]
fn systemds_credentials_serve_each_entry_that_names_none_of_its_own() {
    let bare =
        |name: &str, id: u32| format!("[[github]]\norganization = \"{name}\"\napp_id = {id}\n");
    let with = |file: &str| {
        let mut given = alone(file);
        let directory = given.directory.path().to_owned();
        fs::write(directory.join("webhook-secret"), "from systemd\n").unwrap();
        fs::copy(directory.join("key.pem"), directory.join("private-key")).unwrap();
        given.sources.credentials = Some(directory);
        given
    };
    let config = good(&with(&(bare("acme", 1) + &app("organization = \"beta\"", 2))).sources);
    assert_eq!(
        config.github.iter().map(secrets).collect::<Vec<_>>(),
        [["from systemd"], ["ABCDefgh"]]
    );
    good(&with(&(bare("acme", 1) + &bare("beta", 1))).sources);
    let shown = bad(&with(&(bare("acme", 1) + &bare("beta", 2))).sources);
    insta::assert_snapshot!(shown, @r"
    error: the Apps `1` and `2` have one key, the credential `private-key`
     --> flint.toml:6:10
      |
    6 | app_id = 2
      |          ^
      |
      = help: give each of their entries a `private_key` of its own
    ");
}

#[test]
fn an_enterprise_needs_a_token_and_scale_sets_and_no_secret() {
    let entry = token("enterprise = \"Octo-Corp\"");
    let config = good(&alone(&(entry.clone() + &set("a", ""))).sources);
    assert_eq!(config.github[0].scopes, [Scope::Enterprise("Octo-Corp".to_owned())]);
    assert!(matches!(config.github[0].webhooks, Webhooks::Refused));
    assert_eq!(scope(&config, "a"), "enterprises/octo-corp");
    // Beside it an organization has webhooks, and its secret.
    let beside = entry.clone() + &app("organization = \"acme\"", 1) + "[[profile]]\nname = \"w\"\n";
    let config = good(&alone(&beside).sources);
    assert!(matches!(config.github[0].webhooks, Webhooks::Refused));
    assert_eq!(secrets(&config.github[1]), ["ABCDefgh"]);
    let by_app = app("enterprise = \"octo-corp\"", 1) + &set("a", "");
    insta::assert_snapshot!(
        [refused(&by_app), refused(&entry), refused(&(entry + "[[profile]]\nname = \"w\"\n"))]
            .join("\n\n")
    );
}

#[test]
fn a_scale_set_is_of_one_scope() {
    let entries = app("organization = [\"acme\", \"beta\"]", 1);
    let sets = set("a", "github = \"Acme\"\nscale_set = \"one\"")
        + &set("b", "github = \"beta\"\nscale_set = \"one\"");
    let config = good(&alone(&(entries.clone() + &sets)).sources);
    assert_eq!([scope(&config, "a"), scope(&config, "b")], ["acme", "beta"]);
    // No job of one reaches runners of the other, whatever their labels are.
    assert_eq!(warned(&(entries.clone() + &sets)), "");
    let webhook = "[[profile]]\nname = \"w\"\nlabels = [\"w\"]\n";
    assert_eq!(scope(&good(&alone(&(entries.clone() + webhook)).sources), "w"), "");
    let wrong = set("a", "")
        + &set("b", "github = \"acme/web\"\nlabels = [\"b\"]")
        + &set("c", "github = \"acme\"\nlabels = [\"c\"]\nscale_set = \"one\"")
        + &set("d", "github = \"acme\"\nlabels = [\"d\"]\nscale_set = \"one\"")
        + "[[profile]]\nname = \"e\"\nlabels = [\"e\"]\ngithub = \"acme\"\n"
        + "[[profile]]\nname = \"f\"\nlabels = [\"f\"]\ngithub = \"acme/web/x\"\n";
    insta::assert_snapshot!(refused(&(entries + &wrong)));
}

#[test]
fn a_repository_that_no_scope_covers_is_as_likely_a_slip() {
    let entries = app("organization = \"acme\"\nrepository = [\"ana/x\", \"ana/y\"]", 1);
    let only = |names: &str, more: &str| {
        warned(&format!("{entries}[[profile]]\nname = \"w\"\nrepositories = [{names}]\n{more}"))
    };
    assert_eq!(only("\"ACME/*\", \"acme/web\", \"ana/*\", \"ana/y\"", ""), "");
    insta::assert_snapshot!(only("\"acne/*\", \"ana/z\"", ""), @r#"
    warning: `profile.repositories` has `acne/*`, whose jobs never come
     --> flint.toml:9:16
      |
    9 | repositories = ["acne/*", "ana/z"]
      |                ^^^^^^^^^^^^^^^^^^^
      |
      = help: the profile hears of the jobs of: `acme`, `ana/x`, `ana/y`

    warning: `profile.repositories` has `ana/z`, whose jobs never come
     --> flint.toml:9:16
      |
    9 | repositories = ["acne/*", "ana/z"]
      |                ^^^^^^^^^^^^^^^^^^^
      |
      = help: the profile hears of the jobs of: `acme`, `ana/x`, `ana/y`
    "#);
    let set = only("\"ana/x\"", "source = \"scale-set\"\ngithub = \"acme\"\n");
    assert!(set.contains("has `ana/x`, whose jobs never come"), "{set}");
    let enterprise = token("enterprise = \"corp\"") + &set_of("corp", "x/*");
    assert_eq!(warned(&enterprise), "");
    // Of an enterprise's jobs no webhook tells.
    let webhook = "[[profile]]\nname = \"w\"\nlabels = [\"w\"]\nrepositories = [\"x/*\"]\n";
    let told = warned(&(enterprise + &app("organization = \"acme\"", 1) + webhook));
    assert!(told.ends_with("hears of the jobs of: `acme`"), "{told}");
}

fn set_of(enterprise: &str, repositories: &str) -> String {
    set("a", &format!("github = \"enterprises/{enterprise}\"\nrepositories = [\"{repositories}\"]"))
}

#[test]
fn entries_scopes_names_and_secrets_have_bounds() {
    let names = (0..257).map(|n| format!("\"ana/r{n}\"")).collect::<Vec<_>>().join(", ");
    let many = refused(&app(&format!("repository = [{names}]"), 1));
    assert!(many.contains("257 scopes are given; 256 are the most"), "{many}");
    let entries: String =
        (0..33).map(|n| app(&format!("organization = \"o{n}\""), n + 1)).collect();
    let many = refused(&entries);
    assert!(many.contains("`github` has 33 entries, and not 1 to 32"), "{many}");
    let long = refused(&app(&format!("repository = \"ana/{}\"", "x".repeat(101)), 1));
    assert!(long.contains("`github.repository` is not a repository"), "{long}");
    let given = alone(&app("organization = \"acme\"", 1));
    fs::write(given.directory.path().join("secret"), "x".repeat(4097)).unwrap();
    let long = bad(&given.sources);
    assert!(long.contains("the webhook secret has more than 4096 bytes"), "{long}");
}

#[test]
fn a_microvm_by_hand_asks_for_no_scope_and_reads_no_entry() {
    let text = "[[github]]\norganization = \"acme\"\n[[github]]\n".to_owned() + &set("a", "");
    let checked = check(&alone(&text).sources, &machine(), Purpose::Local);
    let config = checked.config.unwrap();
    assert!(config.github.is_empty());
    assert_eq!(scope(&config, "a"), "");
}

#[test]
fn an_entry_that_is_no_table_is_explained() {
    let shown = refused("github = [3]\n");
    assert!(shown.contains("`[github]` is not a table"), "{shown}");
    assert!(shown.contains("write `[[github]]` on a line of its own"), "{shown}");
    let none = refused("github = []\n");
    assert!(none.contains("`github` has 0 entries, and not 1 to 32"), "{none}");
}

#[test]
fn the_examples_of_the_manual_are_configurations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = fs::read_to_string(root.join("docs/config.md")).unwrap();
    let examples: Vec<&str> = manual.split("```toml\n").skip(1).collect();
    let shown = examples.iter().map(|rest| {
        let mut text = rest.split("```").next().unwrap().to_owned();
        for (path, file) in [(".pem", "key.pem"), ("-secret", "secret"), ("token", "token")] {
            for name in ["private", "webhook", "acme", "beta", ""] {
                let path = format!("\"/etc/flint/{name}{path}\"");
                text = text.replace(&path, &format!("\"DIR/{file}\""));
            }
        }
        warned(&text)
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["", ""]);
}
