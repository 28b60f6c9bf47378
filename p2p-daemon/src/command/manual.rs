//! `p2pd completions` and `p2pd man`: what a package has beside the program, made from what `--help` prints.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::{
    Error,
    cli::{Cli, CompletionsArgs, ManArgs},
};

pub(super) fn completions(args: CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    print(&script)
}

pub(super) fn man(args: ManArgs) -> Result<(), Error> {
    match args.folder {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder)
            .map_err(|source| Error::System { what: "to write the manual pages", source }),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).expect("a vector takes whatever is written");
            print(&page)
        }
    }
}

fn print(text: &[u8]) -> Result<(), Error> {
    match io::stdout().write_all(text) {
        // Whoever read the beginning had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|source| Error::System { what: "to print", source }),
    }
}

const NAME: &str = "p2pd";
