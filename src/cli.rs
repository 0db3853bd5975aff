//! What the command line takes. Everything that is not a command is a setting.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A private photo gallery: one binary on one machine, or many behind a load balancer on AWS.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Without a command the gallery is served.\n\n\
                  Examples:\n  \
                  photo-gallery                          serve on http://127.0.0.1:5000, photos under ./data\n  \
                  photo-gallery import ~/Pictures        take in a folder of photos\n  \
                  photo-gallery account list             who has an account, and how much is in it\n  \
                  GALLERY__SERVER__PORT=8080 photo-gallery\n  \
                  photo-gallery --config /etc/photo-gallery.toml serve"
)]
pub struct Cli {
    /// The settings file [default: photo-gallery.toml in the working directory, when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do; `None` is [`Command::Serve`], and [`Command::Lambda`] where Lambda started the program.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// What to do; `under_lambda` when Lambda started the program.
    pub fn command(&self, under_lambda: bool) -> Command {
        self.command.clone().unwrap_or(if under_lambda { Command::Lambda } else { Command::Serve })
    }
}

/// What the program can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve the gallery until told to stop (the default command)
    #[command(after_help = "Stops on Ctrl-C and SIGTERM, after the requests that are under way.\n\n\
                            Examples:\n  \
                            photo-gallery serve\n  \
                            GALLERY__SERVER__BIND=0.0.0.0 photo-gallery serve\n  \
                            PHOTOS_BUCKET=my-photos DATABASE_HOST=db.example.org photo-gallery serve")]
    Serve,

    /// Develop and label the photos that wait, without serving pages
    #[command(after_help = "Works until told to stop; as many as wanted may work on one catalog.\n\n\
                            Examples:\n  \
                            photo-gallery work\n  \
                            photo-gallery --config /etc/photo-gallery.toml work")]
    Work,

    /// Compare the catalog with the store, and say what is wrong
    #[command(
        after_help = "Prints a sentence for each finding and ends with 1 when there is any. Works while the gallery is served.\n\n\
                            Examples:\n  \
                            photo-gallery check\n  \
                            photo-gallery check --deep             read every original and compare its SHA-256\n  \
                            photo-gallery check --repair           mend what can be mended\n  \
                            photo-gallery check --json | jq .findings"
    )]
    Check(Check),

    /// Look at everything that the settings name, and say what is right, what is wrong, and what to do about it
    #[command(
        after_help = "Looks at disk, port, clock, credentials, bucket, database, topic, queue, labels and sign-in, each for at most\n\
                            10 s. Ends with 1 when anything is wrong; a warning is not. Small objects are written and removed, and test\n\
                            messages, which workers pass over, go through the topic and into the queue.\n\n\
                            Examples:\n  \
                            photo-gallery doctor\n  \
                            photo-gallery doctor --work            on a machine that only finishes photos\n  \
                            photo-gallery doctor --json | jq '.findings[] | select(.verdict == \"fail\")'\n  \
                            photo-gallery --config /etc/photo-gallery.toml doctor"
    )]
    Doctor {
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,

        /// Look at what `photo-gallery work` needs, and not at what only a server does
        #[arg(long)]
        work: bool,
    },

    /// Finish photos, or migrate, as a Lambda function does: started by Lambda as `bootstrap`, this is the default command
    #[command(
        after_help = "Takes events from Lambda's runtime API (AWS_LAMBDA_RUNTIME_API). The function's handler says which:\n  \
                            work      batches of SQS, SNS and S3, and schedules: finishes photos (also any other name)\n  \
                            migrate   {\"admin\": \"master\", \"password\": \"...\", \"user_password\": \"...\"}: as `photo-gallery migrate`"
    )]
    Lambda,

    /// Bring the MySQL database to this version's tables, and make the web server's account
    #[command(
        after_help = "The web server's account cannot create tables, so this runs with the account that owns the\n\
                      server. What is not given is asked for. Photos of the course's app are taken over.\n\
                      Safe to repeat; SQLite needs none of it.\n\n\
                      Examples:\n  \
                      DATABASE_HOST=db.example.org photo-gallery migrate --admin master\n  \
                      photo-gallery migrate --admin master --password-stdin < /run/secrets/master"
    )]
    Migrate(Migrate),

    /// Ask whether the gallery on this machine answers, for health checks
    #[command(after_help = "Ends with 0 when /ping answers 200, else with 1 and a sentence, within 3 seconds.\n\n\
                            Examples:\n  \
                            photo-gallery ping                     the port of the settings in force\n  \
                            photo-gallery ping http://10.1.2.3:5000")]
    Ping {
        /// What to ask instead; without a path its /ping
        #[arg(value_name = "URL")]
        url: Option<String>,
    },

    /// Print every setting in force and where it came from, secrets masked
    #[command(after_help = "The output is a settings file: lines with secrets are commented out.\n\n\
                            Examples:\n  \
                            photo-gallery settings\n  \
                            photo-gallery settings > example.toml\n  \
                            photo-gallery settings --markdown      all settings, their defaults and meaning")]
    Settings {
        /// Print all settings there are, with defaults and meaning, as a Markdown table
        #[arg(long)]
        markdown: bool,
    },

    /// Take in all photos of a folder and the folders in it
    #[command(
        after_help = "Safe to repeat: a photo that is there already is passed over. The files stay as they are.\n\n\
                            Examples:\n  \
                            photo-gallery import ~/Pictures\n  \
                            photo-gallery import ~/Pictures --account ann@example.org\n  \
                            photo-gallery --config /etc/photo-gallery.toml import /mnt/camera"
    )]
    Import {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,

        /// Whose the photos will be: an account's e-mail address, or a `cognito:username`. Not needed where there is one
        /// account or none; the first account takes over photos that came before it
        #[arg(long, value_name = "WHO")]
        account: Option<String>,
    },

    /// Make, list and remove accounts, and give them new passwords
    #[command(
        subcommand,
        after_help = "Works while the gallery is served. Passwords are asked for, or read from standard input.\n\n\
                      Examples:\n  \
                      photo-gallery account add ann@example.org --nickname Ann\n  \
                      photo-gallery account reset ann@example.org --password-stdin < /run/secrets/ann\n  \
                      photo-gallery account list\n  \
                      photo-gallery account remove ann@example.org"
    )]
    Account(Account),
}

/// What the operator does with accounts.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Account {
    /// Make an account, which can be used at once
    #[command(after_help = "Also where `identity.local.sign_up` is closed.\n\n\
                            Examples:\n  \
                            photo-gallery account add ann@example.org\n  \
                            photo-gallery account add ann@example.org --nickname Ann --password-stdin < /run/secrets/ann")]
    Add {
        /// The e-mail address to sign in with
        #[arg(value_name = "EMAIL")]
        email: String,

        /// What they are called [default: what stands before the @]
        #[arg(long, value_name = "NAME")]
        nickname: Option<String>,

        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },

    /// Give an account a new password, and sign it out everywhere
    #[command(after_help = "Examples:\n  \
                            photo-gallery account reset ann@example.org\n  \
                            photo-gallery account reset ann@example.org --password-stdin < /run/secrets/ann")]
    Reset {
        /// The e-mail address of the account
        #[arg(value_name = "EMAIL")]
        email: String,

        /// Read the new password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },

    /// List all accounts: e-mail address, name, when it was made, photos, bytes
    #[command(after_help = "One line for each account, fields separated by tabs.\n\n\
                            Examples:\n  \
                            photo-gallery account list\n  \
                            photo-gallery account list | cut -f 1")]
    List,

    /// Remove an account with everything in it
    #[command(
        after_help = "There is no way back. Asks before it begins. Repeated after it was interrupted, it finishes.\n\n\
                            Examples:\n  \
                            photo-gallery account remove ann@example.org\n  \
                            photo-gallery account remove ann@example.org --yes"
    )]
    Remove {
        /// The e-mail address of the account
        #[arg(value_name = "EMAIL")]
        email: String,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What `check` looks at, and what it does about it.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Read every object whole and compare its SHA-256 with the catalog's
    #[arg(long)]
    pub deep: bool,

    /// Mend what can be mended: renditions, label texts, words, counts, leftovers. Deletes the few objects older than a day that belong to no
    /// photo, and none when they look like photos that the catalog has lost
    #[arg(long)]
    pub repair: bool,

    /// Delete all objects older than a day that belong to no photo, however many. For good: look at what `check` lists first
    #[arg(long, requires = "repair")]
    pub delete_orphans: bool,

    /// Print one JSON object instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// How `migrate` signs in.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrate {
    /// The account that may create tables and accounts
    #[arg(long, value_name = "NAME")]
    pub admin: Option<String>,

    /// Read that account's password from the first line of standard input
    #[arg(long)]
    pub password_stdin: bool,
}
