//! README says what is so.

use photo_gallery::{pages::ROUTES, settings};

const README: &str = include_str!("../../README.md");

/// What stands between two marks.
fn between(from: &str, to: &str) -> &'static str {
    README.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect(from).0
}

#[test]
fn its_table_of_settings_is_the_programs() {
    let table = between("<!-- settings -->\n", "<!-- /settings -->");
    assert!(table == settings::markdown(), "put the output of `photo-gallery settings --markdown` between the marks");
}

#[test]
fn it_names_every_url() {
    /// Neither for people nor for programs to ask by name: pages lead there.
    const UNNAMED: [&str; 4] = ["/", "/favicon.ico", "/static/{name}", "/media/{path:.*}"];
    for route in ROUTES.iter().filter(|route| !UNNAMED.contains(&route.path)) {
        let named = match route.path {
            "/photos/{id}/{rendition}" => "`GET /photos/{id}/original`, `/display`, `/thumb`".to_owned(),
            "/photos" if route.method == "GET" => "`GET /photos?before=&label=&q=`".to_owned(),
            path => format!("`{} {path}`", route.method),
        };
        assert!(README.contains(&named), "README does not name {named}");
    }
}

#[test]
fn its_map_shows_files_that_are_there() {
    let map = between("## The map of the house", "\n## ");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for line in map.lines().filter(|line| line.starts_with("| `")) {
        let mut folder = "";
        for name in line.split('`').skip(1).step_by(2) {
            let places = [root.join(name), root.join(folder).join(name)];
            assert!(places.iter().any(|place| place.exists()), "{name} is not there: {line}");
            folder = if name.starts_with("src/") {
                "src"
            } else if name.starts_with("tests/it/") {
                "tests/it"
            } else {
                folder
            };
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} names were found");
    for line in between("```\nPHOTOS_BUCKET", "## Operate").lines() {
        for linked in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            assert!(root.join(linked.0).exists(), "{} is not there", linked.0);
        }
    }
}
