//! The command line of `ringway ctl`.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use std::io::{self, Write};

const ABOUT: &str = "Read and change a running server by its admin API";

const AFTER_HELP: &str = "\
Without --url the server is asked that RINGWAY_ADMIN names, or http://127.0.0.1:8060; without --token-file \
the token is read from the file that RINGWAY_ADMIN_TOKEN_FILE names, if any.

Exit codes: 0 good, 1 refused or not reached, 2 wrong options, 3 no such subscriber or call.";

/// The clap command of `ctl`.
#[must_use]
pub fn command() -> Command {
    let subscriber = Command::new("subscriber")
        .about("Numbers that are served")
        .subcommand_required(true)
        .subcommand(settings(Command::new("add").about("Add a subscriber").arg(number())))
        .subcommand(
            settings(Command::new("change").about("Change what the options name").arg(number())).arg(
                Arg::new("no-password")
                    .long("no-password")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("password-stdin")
                    .help("Take the password away: the number can register no more"),
            ),
        )
        .subcommand(Command::new("show").about("Show one subscriber").arg(number()))
        .subcommand(Command::new("list").about("List subscribers").arg(limit()))
        .subcommand(Command::new("remove").about("Remove a subscriber and its bindings").arg(number()));
    let call = Command::new("call")
        .about("One call")
        .subcommand_required(true)
        .subcommand(Command::new("show").about("Show a call").arg(id()))
        .subcommand(Command::new("hangup").about("End a call").arg(id()));
    let bindings = Command::new("bindings")
        .about("Where a number is registered")
        .arg(number())
        .arg(Arg::new("remove").long("remove").action(ArgAction::SetTrue).help("End its registrations"))
        .arg(text("uri", "URI").requires("remove").help("Only that of this contact"));
    Command::new("ringway ctl")
        .bin_name("ringway ctl")
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .subcommand_required(true)
        .arg(text("url", "URL").global(true).help("The server's admin API, http://ADDRESS:PORT"))
        .arg(text("token-file", "FILE").global(true).help("File with the token that the server wants"))
        .arg(
            Arg::new("json")
                .long("json")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Write what the server says as JSON"),
        )
        .subcommand(subscriber)
        .subcommand(bindings)
        .subcommand(Command::new("calls").about("List calls that live").arg(limit()))
        .subcommand(call)
        .subcommand(Command::new("status").about("What the server is and does"))
        .subcommand(
            Command::new("completions").about("Write a shell's completions of all of ringway").arg(
                Arg::new("shell")
                    .required(true)
                    .value_parser(value_parser!(Shell))
                    .help("Put what is written where the shell reads its completions"),
            ),
        )
}

/// What may be set of a subscriber.
fn settings(command: Command) -> Command {
    command
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Read the password from standard input, one line"),
        )
        .arg(
            text("no-answer", "NUMBER")
                .help("Forward to this number when nobody answers; an empty one: do not forward"),
        )
        .arg(text("after", "SECONDS").help("After so long; an empty value: as the server is configured"))
        .arg(
            text("contact", "URI")
                .help("Where the phone is reached though it does not register; an empty one: nowhere"),
        )
}

fn text(name: &'static str, form: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(form).value_parser(ValueParser::string()).num_args(1)
}

fn number() -> Arg {
    Arg::new("number").required(true).value_name("NUMBER").help("The number, as the address-of-record has it")
}

fn id() -> Arg {
    Arg::new("id").required(true).value_name("ID").help("What `calls` shows of it")
}

fn limit() -> Arg {
    Arg::new("limit")
        .long("limit")
        .value_name("N")
        .value_parser(value_parser!(usize))
        .help("Show at most so many [default: 1000]")
}

/// Writes the completions of the whole program.
pub fn complete(matches: &ArgMatches, output: &mut dyn Write) -> io::Result<()> {
    let mut script = Vec::new();
    if let Some(&shell) = matches.get_one::<Shell>("shell") {
        let ctl = command().name("ctl").bin_name("ringway ctl");
        let mut whole = crate::config::command().subcommand(ctl);
        clap_complete::generate(shell, &mut whole, "ringway", &mut script);
    }
    output.write_all(&script)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_is_sound() {
        super::command().debug_assert();
    }
}
