//! The socket between an asker, a keeper and the process inside.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;

use super::orders::{Orders, Report};

/// The most that orders may have, in bytes: well below what a socket holds, so that sending never waits.
const ORDERS_MAX: usize = 64 * 1024;

/// Sends orders, and with them the command's standard input.
pub(crate) fn send(mut to: &UnixStream, orders: &Orders, stdin: BorrowedFd<'_>) -> io::Result<()> {
    let line = line(orders)?;
    if line.len() > ORDERS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the command and its environment have {} bytes; {ORDERS_MAX} is the most",
                line.len()
            ),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stdin];
    with.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(to, &[IoSlice::new(&line)], &mut with, SendFlags::NOSIGNAL)?;
    to.write_all(&line[sent..])
}

/// Receives what [`send`] sent.
pub(super) fn receive(mut from: &UnixStream) -> io::Result<(Orders, OwnedFd)> {
    let mut bytes = vec![0; ORDERS_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut filled = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut with,
        RecvFlags::CMSG_CLOEXEC,
    )?
    .bytes;
    let stdin = with.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    while bytes[..filled].last() != Some(&b'\n') {
        match from.read(&mut bytes[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
    }
    let stdin = stdin.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((serde_json::from_slice(&bytes[..filled])?, stdin))
}

/// Tells a report.
pub(super) fn tell(mut to: &UnixStream, report: &Report) -> io::Result<()> {
    to.write_all(&line(report)?)
}

fn line(document: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    Ok(line)
}
