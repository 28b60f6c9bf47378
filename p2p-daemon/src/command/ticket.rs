//! Tickets on a terminal.

use p2p::Ticket;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{Console, Error};

/// Prints a ticket as a QR code of half blocks, for a phone's camera.
pub(super) fn say_qr(ticket: &Ticket, console: Console) -> Result<(), Error> {
    // In upper case it is alphanumeric, which takes two thirds of the room; tickets are read either way.
    let text = ticket.to_string().to_ascii_uppercase().replacen("P2P", "p2p", 1);
    let code = QrCode::with_error_correction_level(&text, EcLevel::L)
        .map_err(|_| Error::Unsupported { command: "ticket", problem: "cannot draw a ticket of this length".into() })?;
    // Dark on light even where a terminal is light on dark: not every camera reads the other.
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    console.line(drawn);
    Ok(())
}
