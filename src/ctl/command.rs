//! The command line of `ringway ctl`.

use crate::directory::Condition;
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
        .subcommand(forward())
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

/// What may be set of forwarding.
fn forwarding(command: Command) -> Command {
    let targets = Condition::ALL.map(|condition| text(condition.name(), "TARGET").help(when(condition)));
    command
        .args(targets)
        .arg(
            text("after", "SECONDS")
                .help("How long it rings before no answer; an empty value: as the server is configured"),
        )
        .arg(text("headers", "FORM").help(
            "How its phones are told of diversions: diversion, history-info, both, none; an empty value: as \
             the server is configured",
        ))
        .arg(
            text("privacy", "off|full")
                .help("full: those that it forwards to beyond trusted peers are not told its number"),
        )
}

const fn when(condition: Condition) -> &'static str {
    match condition {
        Condition::Unconditional => "Forward every call there; an empty target, here and below: none",
        Condition::Busy => "Forward there when it is busy",
        Condition::NoAnswer => "Forward there when nobody answers",
        Condition::NotRegistered => "Forward there when no phone is registered",
        Condition::NotReachable => "Forward there when no phone can be reached",
    }
}

/// Which conditions are meant: those that the flags name, else all.
fn conditions(command: Command) -> Command {
    let flags = Condition::ALL.map(|condition| {
        Arg::new(condition.name())
            .long(condition.name())
            .action(ArgAction::SetTrue)
            .help(format!("What is set for {}", condition.name()))
    });
    command.arg(number()).args(flags).arg(
        Arg::new("all")
            .value_parser(["all"])
            .conflicts_with_all(Condition::ALL.map(Condition::name))
            .help("All that is set, as without it and without flags"),
    )
}

fn forward() -> Command {
    Command::new("forward")
        .about("Where a number's calls go instead of to its phones")
        .subcommand_required(true)
        .subcommand(
            forwarding(Command::new("set").about("Set targets, which are active then").arg(number()))
                .after_help("A target is a number, a tel URI, or a sip URI whose host is an IP address."),
        )
        .subcommand(conditions(Command::new("on").about("Activate what is set")))
        .subcommand(conditions(Command::new("off").about("Deactivate what is set; the targets stay")).arg(
            Arg::new("erase").long("erase").action(ArgAction::SetTrue).help("Take the targets away too"),
        ))
        .subcommand(Command::new("show").about("Show what is set").arg(number()))
        .subcommand(
            Command::new("import")
                .about("Set the rules of a CSV file, one in each line")
                .arg(Arg::new("file").required(true).value_name("FILE").help("The file; - is standard input"))
                .after_help(
                    "The first line names the columns: number,condition,target,active,after. The last two \
                     may be missing or empty: active is yes or no, after the number's no-answer time in \
                     seconds, for all of its rules: the last line that has one counts. Lines that are \
                     refused are named; the others are set.",
                ),
        )
}

/// What may be set of a subscriber.
fn settings(command: Command) -> Command {
    forwarding(command)
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Read the password from standard input, one line"),
        )
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
