//! The command line: settings, telemetry, and then the command.

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use photo_gallery::{
    cli::{Cli, Command},
    commands,
    error::causes,
    settings::{self, LogFormat, Settings, Sources},
    telemetry,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command(settings::handler().is_some());
    if command == (Command::Settings { markdown: true }) {
        return ended(print(&settings::markdown()));
    }
    let loaded = match Settings::load(&Sources::of_this_process(cli.config.as_deref())) {
        Ok(loaded) => loaded,
        Err(refusal) => {
            eprintln!("photo-gallery: {refusal}");
            return ExitCode::from(settings::EXIT_CODE);
        }
    };
    if let Command::Settings { .. } = command {
        return ended(print(&loaded.to_string()));
    }
    if let Command::Ping { .. } = command {
        // Asked every few seconds, it says nothing of what the server has said already.
        return ended(commands::run(&command, loaded));
    }

    let format = match loaded.settings.log.format {
        LogFormat::Text => telemetry::Format::text(),
        LogFormat::Json => telemetry::Format::Json,
    };
    ended(telemetry::start(format, &loaded.settings.log.filter).and_then(|()| {
        // The doctor tells them among its findings.
        if !matches!(command, Command::Doctor { .. }) {
            for notice in &loaded.notices {
                tracing::warn!("{notice}");
            }
        }
        commands::run(&command, loaded)
    }))
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("photo-gallery: {}", causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
