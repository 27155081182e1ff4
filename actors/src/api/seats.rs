//! Who is let in. Who comes when every seat is taken gets the seat of whoever has been silent longest,
//! so that slow or idle clients, however many, never keep a health check out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use supervise::TaskHandle;

/// Something that can be made to leave.
pub(super) trait Guest {
    /// Ends it at its next suspension point.
    fn leave(&self);
    /// Whether it has left already.
    fn has_left(&self) -> bool;
}

impl Guest for TaskHandle {
    fn leave(&self) {
        self.abort();
    }

    fn has_left(&self) -> bool {
        self.is_finished()
    }
}

/// The seats of one listener.
#[derive(Debug)]
pub(super) struct Seats<G> {
    room: Rc<RefCell<Room<G>>>,
}

#[derive(Debug)]
struct Room<G> {
    seats: usize,
    next: u64,
    /// Longest silent first.
    guests: VecDeque<(u64, G)>,
}

/// One client's seat.
#[derive(Debug)]
pub(super) struct Seat<G = TaskHandle> {
    room: Rc<RefCell<Room<G>>>,
    number: u64,
}

impl<G: Guest> Seats<G> {
    pub(super) fn new(seats: usize) -> Self {
        Self {
            room: Rc::new(RefCell::new(Room {
                seats,
                next: 0,
                guests: VecDeque::with_capacity(seats),
            })),
        }
    }

    /// Whether nobody is being served.
    pub(super) fn is_empty(&self) -> bool {
        self.room
            .borrow()
            .guests
            .iter()
            .all(|(_, guest)| guest.has_left())
    }

    /// Lets a client in: `begin` is given its seat and begins to serve it.
    pub(super) fn take(&self, begin: impl FnOnce(Seat<G>) -> G) {
        let number = {
            let mut room = self.room.borrow_mut();
            room.next += 1;
            room.guests.retain(|(_, guest)| !guest.has_left());
            while room.guests.len() >= room.seats {
                let Some((_, guest)) = room.guests.pop_front() else {
                    break;
                };
                guest.leave();
            }
            room.next
        };
        let guest = begin(Seat {
            room: Rc::clone(&self.room),
            number,
        });
        self.room.borrow_mut().guests.push_back((number, guest));
    }
}

impl<G> Seat<G> {
    /// The client said something.
    pub(super) fn heard(&self) {
        let mut room = self.room.borrow_mut();
        let place = room
            .guests
            .iter()
            .position(|(number, _)| *number == self.number);
        if let Some(guest) = place.and_then(|place| room.guests.remove(place)) {
            room.guests.push_back(guest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Fake {
        left: Rc<Cell<bool>>,
    }

    impl Guest for Fake {
        fn leave(&self) {
            self.left.set(true);
        }

        fn has_left(&self) -> bool {
            self.left.get()
        }
    }

    fn enter(seats: &Seats<Fake>) -> (Fake, Seat<Fake>) {
        let guest = Fake::default();
        let mut seat = None;
        seats.take(|given| {
            seat = Some(given);
            guest.clone()
        });
        (guest, seat.expect("a seat is given"))
    }

    #[test]
    fn who_has_been_silent_longest_leaves_for_who_comes() {
        let seats = Seats::new(2);
        let (first, seat) = enter(&seats);
        let (second, _) = enter(&seats);
        seat.heard();
        let (third, _) = enter(&seats);
        assert!(second.has_left(), "it was silent longer than the first");
        assert!(!first.has_left() && !third.has_left());
    }

    #[test]
    fn who_left_by_itself_makes_room() {
        let seats = Seats::new(2);
        assert!(seats.is_empty());
        let (first, _) = enter(&seats);
        let (second, seat) = enter(&seats);
        assert!(!seats.is_empty());
        second.leave();
        let (third, _) = enter(&seats);
        assert!(!first.has_left() && !third.has_left());
        // What its seat hears changes nothing.
        seat.heard();
    }
}
