//! The program itself: its output, its exit codes, its help.

use clap::CommandFactory;
use photo_gallery::cli::Cli;

use super::*;

/// Runs the program itself in `place`.
fn program(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photo-gallery"));
    command
        .args(arguments)
        .current_dir(place.folder.path())
        .env_clear()
        .envs(place.sources.environment.iter().cloned());
    command.output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}

#[test]
fn the_program_prints_its_settings_from_its_own_environment_and_folder() {
    let place = Place::new().file("server.port = 6001").set("PHOTOS_BUCKET", "my-photos");
    let output = program(&place, &["settings"]);
    assert!(output.status.success());
    let printed = text(&output.stdout);
    assert!(
        printed.lines().any(|line| line.starts_with("server.port ") && line.ends_with("# file photo-gallery.toml")),
        "{printed}"
    );
    assert!(
        printed.lines().any(|line| line.starts_with("store.s3.bucket ") && line.ends_with("# course's PHOTOS_BUCKET")),
        "{printed}"
    );
    assert_eq!(text(&program(&place, &["settings", "--markdown"]).stdout), settings::markdown());
}

#[test]
fn the_program_leaves_with_78_and_one_line_when_its_settings_are_refused() {
    let place = Place::new().set("GALLERY__SERVER__PORT", "http");
    for arguments in [[].as_slice(), &["serve"], &["settings"], &["migrate"]] {
        let output = program(&place, arguments);
        assert_eq!(output.status.code(), Some(i32::from(EXIT_CODE)));
        assert_eq!(
            text(&output.stderr),
            "photo-gallery: server.port = \"http\" (environment GALLERY__SERVER__PORT) is refused: allowed is a whole number from 0 to 65535\n"
        );
    }
    let output = program(&Place::new(), &["settings", "--config", "missing.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("missing.toml, named by --config on the command line, cannot be read"));
}

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new();
    let cli = <Cli as CommandFactory>::command();
    let commands: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    assert!(commands.len() > 5, "{commands:?}");
    for command in &commands {
        let output = program(&place, &[command, "--help"]);
        let help = text(&output.stdout);
        assert!(output.status.success());
        // Lambda has one way to start it, which is no example.
        assert!(help.contains("Examples:\n  ") || *command == "lambda", "{help}");
        assert!(help.contains("--config <FILE>"), "{help}");
        assert!(help.contains(&format!("photo-gallery {command}")), "{help}");
    }
    let help = text(&program(&place, &["--help"]).stdout);
    for command in commands {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{help}");
    }
    let output = program(&place, &["import"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("<DIR>"));
}
