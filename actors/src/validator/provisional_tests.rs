#![allow(clippy::unwrap_used)]

use bitcoin::hashes::Hash as _;
use bitcoin::script::Builder;
use chain::{HeaderReject, Network, header_bytes};
use pow::{NBits, Target};
use proptest::prelude::*;

use super::*;

const CLOCK: u32 = u32::MAX;

/// A child of `parent` on regtest; another one for each `salt`.
fn child(parent: &Header, salt: u8) -> Header {
    let mut header = Header {
        version: bitcoin::block::Version::from_consensus(0x2000_0000),
        prev_blockhash: parent.block_hash(),
        merkle_root: bitcoin::TxMerkleNode::from_byte_array([salt; 32]),
        time: parent.time + 1,
        nonce: 0,
        ..*parent
    };
    let target = Target::from_nbits(NBits(0x207f_ffff)).unwrap();
    while !target.is_met_by(&pow::sha256d(&header_bytes(&header))) {
        header.nonce += 1;
    }
    header
}

fn mine(parent: &Header, count: usize, salt: u8) -> Vec<Header> {
    let mut chain = Vec::new();
    for _ in 0..count {
        let header = child(chain.last().unwrap_or(parent), salt);
        chain.push(header);
    }
    chain
}

/// The first bytes of a block whose coinbase names this height.
fn start(height: u32) -> Vec<u8> {
    let script = Builder::new().push_int(i64::from(height)).into_script();
    let mut raw = vec![0; 80];
    raw.extend([1, 2, 0, 0, 0, 1]);
    raw.extend([0; 36]);
    raw.push(script.len() as u8);
    raw.extend(script.as_bytes());
    raw
}

/// A window on a chain of regtest, what is ahead of it, and the time.
struct Case {
    window: HeaderWindow,
    all: Vec<Header>,
    ahead: Provisional,
    now: Instant,
}

impl Case {
    fn new(length: usize) -> Self {
        let mut window = HeaderWindow::from_genesis(Network::Regtest, 100);
        let mut all = vec![*Network::Regtest.genesis_header()];
        all.extend(mine(&all[0], length, 0));
        window.connect(&all[1..], None).unwrap();
        Self {
            window,
            all,
            ahead: Provisional::default(),
            now: Instant::now(),
        }
    }

    fn top(&self) -> Header {
        *self.all.last().unwrap()
    }

    fn tip(&self) -> BlockHash {
        self.window.tip().hash
    }

    fn offer_named(&mut self, header: Header, height: u32) -> Result<Ahead, Declined> {
        self.offer_as(header, height, false)
    }

    fn offer_as(&mut self, header: Header, height: u32, accepted: bool) -> Result<Ahead, Declined> {
        let start = start(height);
        let offer = Offer {
            hash: header.block_hash(),
            header,
            start: &start,
            accepted,
        };
        self.ahead.offer(&self.window, &offer, self.now, CLOCK)
    }

    /// The block is published; its coinbase names the height that it must have.
    fn offer(&mut self, header: Header) -> Result<Ahead, Declined> {
        let links = self.ahead.links.iter().map(|link| link.header);
        let mut known = self.all.iter().copied().chain(links);
        let parent = known.position(|parent| parent.block_hash() == header.prev_blockhash);
        let height = parent.map_or(0, |parent| {
            let links = (parent + 1).saturating_sub(self.all.len());
            let base = self
                .ahead
                .links
                .first()
                .map_or(self.all.len() - 1, |first| {
                    let is_parent = |h: &Header| h.block_hash() == first.header.prev_blockhash;
                    self.all.iter().position(is_parent).unwrap()
                });
            if links > 0 {
                base + links + 1
            } else {
                parent + 1
            }
        });
        self.offer_named(header, height as u32)
    }

    /// The node's tip is read: these headers join its chain.
    fn verified(&mut self, headers: &[Header]) -> Option<End> {
        self.window.connect(headers, None).unwrap();
        let is_parent = |h: &Header| h.block_hash() == headers[0].prev_blockhash;
        let fork = self.all.iter().position(is_parent).unwrap();
        self.all.truncate(fork + 1);
        self.all.extend(headers);
        self.ahead.tip_verified(&self.window, CLOCK)
    }

    fn pass(&mut self, time: Duration) -> Option<End> {
        self.now += time;
        self.ahead.expire(self.tip(), self.now)
    }
}

#[test]
fn a_block_on_the_tip_is_ahead_until_the_node_confirms_it() {
    let mut case = Case::new(20);
    let block = child(&case.top(), 1);
    let ahead = case.offer(block).unwrap();
    assert_eq!((ahead.tip.height, ahead.tip.header), (21, block));
    assert_eq!(case.ahead.due(), Some(case.now + LONGEST));
    assert_eq!(case.pass(LONGEST / 2), None);
    assert_eq!(case.offer(block), Err(Declined::Known));
    assert_eq!(case.verified(&[block]), Some(End::Confirmed));
    assert_eq!(case.ahead.due(), None);
    assert_eq!(case.offer(block), Err(Declined::Known));
    // The next one is as welcome.
    assert!(case.offer(child(&block, 1)).is_ok());
}

#[test]
fn a_block_that_the_node_does_not_confirm_costs_one_wait_and_no_other_follows_it() {
    let mut case = Case::new(20);
    let block = child(&case.top(), 1);
    case.offer(block).unwrap();
    assert_eq!(case.ahead.tip_verified(&case.window, CLOCK), None, "a body");
    let late = End::Late(block.block_hash());
    assert_eq!(case.pass(LONGEST), Some(late));
    assert_eq!(case.ahead.due(), None);
    for salt in 1..9 {
        let next = child(&case.top(), salt);
        assert_eq!(case.offer(next), Err(Declined::Closed));
    }
    // Until the node has another tip, be it this very block.
    assert_eq!(case.verified(&[block]), None);
    assert!(case.offer(child(&block, 1)).is_ok());
}

#[test]
fn a_block_that_a_node_accepted_outlives_its_silence_and_not_its_word() {
    let mut case = Case::new(3);
    let height = case.window.tip().height;
    let block = child(&case.top(), 1);
    case.offer_as(block, height + 1, true).unwrap();
    let tip = case.tip();
    assert_eq!(case.ahead.tip_named(tip, case.now), None, "asked too early");
    assert_eq!(case.pass(20 * LONGEST), None);
    // What is published on top of it has as much time.
    case.offer_as(child(&block, 1), height + 2, false).unwrap();
    assert_eq!(case.pass(20 * LONGEST), None);
    let end = case.ahead.tip_named(tip, case.now);
    assert!(matches!(end, Some(End::Late(_))), "{end:?}");
    assert_eq!(case.ahead.due(), None);
    // Another one is its own affair, however it went with the one before.
    let other = child(&case.top(), 2);
    assert_eq!(
        case.offer_as(other, height + 1, false),
        Err(Declined::Closed)
    );
    case.offer_as(other, height + 1, true).unwrap();
}

#[test]
fn a_published_block_that_is_accepted_then_and_all_below_it_have_the_time_of_one_that_was() {
    let mut case = Case::new(3);
    let height = case.window.tip().height;
    let below = child(&case.top(), 1);
    let ours = child(&below, 1);
    case.offer_as(below, height + 1, false).unwrap();
    case.offer_as(ours, height + 2, false).unwrap();
    assert_eq!(case.offer_as(ours, height + 2, true), Err(Declined::Known));
    assert_eq!(case.pass(20 * LONGEST), None);
    assert_eq!(case.verified(&[below, ours]), Some(End::Confirmed));
}

#[test]
fn another_tip_of_the_nodes_beats_a_block_at_once() {
    let mut case = Case::new(20);
    let (block, rival) = (child(&case.top(), 1), child(&case.top(), 2));
    case.offer(block).unwrap();
    let beaten = End::Beaten(block.block_hash());
    assert_eq!(case.verified(&[rival]), Some(beaten));
    assert!(case.offer(child(&rival, 1)).is_ok(), "nobody is to blame");
}

#[test]
fn blocks_that_follow_each_other_are_confirmed_one_by_one() {
    let mut case = Case::new(20);
    let blocks = mine(&case.top(), 3, 1);
    for (height, block) in (21..).zip(&blocks) {
        case.now += Duration::from_millis(100);
        assert_eq!(case.offer(*block).unwrap().tip.height, height);
    }
    let first = case.ahead.due().unwrap();
    assert_eq!(case.verified(&blocks[..1]), None);
    let second = first + Duration::from_millis(100);
    assert_eq!(case.ahead.due(), Some(second), "it came later");
    assert_eq!(case.verified(&blocks[1..]), Some(End::Confirmed));
}

#[test]
fn a_rival_takes_no_place_and_a_longer_chain_no_more_time() {
    let mut case = Case::new(20);
    let (ours, theirs) = (mine(&case.top(), 1, 1), mine(&case.top(), 2, 2));
    case.offer(ours[0]).unwrap();
    let due = case.ahead.due();
    case.now += LONGEST / 2;
    let no_more = Err(Declined::NotAhead(NotAhead::NoMoreWork));
    assert_eq!(case.offer(theirs[0]), no_more, "the first that was seen");
    // Its parent is not known: it was never taken.
    assert!(case.offer(theirs[1]).is_err());
    case.offer(child(&ours[0], 1)).unwrap();
    assert_eq!(case.ahead.due(), due);
    case.now += LONGEST;
    assert!(matches!(case.pass(Duration::ZERO), Some(End::Late(_))));
}

#[test]
fn more_than_a_few_blocks_ahead_are_not_taken() {
    let mut case = Case::new(20);
    let blocks = mine(&case.top(), MOST + 1, 1);
    for block in &blocks[..MOST] {
        case.offer(*block).unwrap();
    }
    assert_eq!(case.offer(blocks[MOST]), Err(Declined::TooMany));
}

#[test]
fn old_blocks_strangers_and_rule_breakers_are_declined_and_change_nothing() {
    let mut case = Case::new(20);
    let top = case.top();
    let old = case.all[7];
    let stranger = child(&child(&top, 9), 9);
    let mut bits = child(&top, 1);
    bits.bits = bitcoin::CompactTarget::from_consensus(0x1d00_ffff);
    let reject = |declined: Result<Ahead, Declined>| match declined {
        Err(Declined::NotAhead(NotAhead::Refused(failure))) => failure.reject,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        case.offer(old),
        Err(Declined::NotAhead(NotAhead::NoMoreWork))
    );
    assert_eq!(case.offer(top), Err(Declined::Known));
    assert_eq!(reject(case.offer(stranger)), HeaderReject::BadPrevblk);
    assert_eq!(reject(case.offer(bits)), HeaderReject::HighHash);
    assert_eq!(case.offer_named(child(&top, 1), 20), Err(Declined::Height));
    assert_eq!(case.ahead.due(), None);
    assert!(case.offer(child(&top, 1)).is_ok());
}

#[test]
fn a_node_that_goes_back_ends_what_was_built_on_the_block_that_left() {
    let mut case = Case::new(20);
    let block = child(&case.top(), 1);
    case.offer(block).unwrap();
    let below = case.all[18].block_hash();
    case.window.rewind_to(&below).unwrap();
    let end = case.ahead.tip_verified(&case.window, CLOCK);
    assert_eq!(end, Some(End::Beaten(block.block_hash())));
}

#[derive(Debug, Clone)]
enum Event {
    /// A child of the block that many below the highest known one is published.
    Publish { below: usize, salt: u8 },
    /// The node's tip becomes what is ahead, all but the last few of it.
    Confirm { but: usize },
    /// The node's tip becomes another one, on the block that many below the tip.
    Rival { below: usize, salt: u8 },
    /// Time passes.
    Pass { ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_usize..4, any::<u8>()).prop_map(|(below, salt)| Event::Publish { below, salt }),
        1 => (0_usize..3).prop_map(|but| Event::Confirm { but }),
        1 => (0_usize..2, any::<u8>()).prop_map(|(below, salt)| Event::Rival { below, salt }),
        3 => (0_u64..900).prop_map(|ms| Event::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_published_only_better_chains_are_ahead_and_never_for_long(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut case = Case::new(15);
        // Since when the work is on something that the node has not said a word about.
        let mut off_since = None;
        // The tip on which no block is to be taken any more.
        let mut closed = None;
        for event in events {
            let end = match event {
                Event::Publish { below, salt } => {
                    let mut known = case.all.clone();
                    known.extend(case.ahead.headers());
                    let parent = known[known.len() - 1 - below.min(known.len() - 1)];
                    let taken = case.offer(child(&parent, salt)).is_ok();
                    prop_assert!(!taken || closed != Some(case.tip()));
                    None
                }
                Event::Confirm { but } => {
                    let headers = case.ahead.headers();
                    let confirmed = headers.len().saturating_sub(but);
                    if confirmed > 0 {
                        off_since = None;
                        case.verified(&headers[..confirmed])
                    } else {
                        case.ahead.tip_verified(&case.window, CLOCK)
                    }
                }
                Event::Rival { below, salt } => {
                    let parent = case.all[case.all.len() - 1 - below];
                    // Above the salts of what is published, so that it is another block.
                    case.verified(&mine(&parent, below + 1, salt ^ 0xff))
                }
                Event::Pass { ms } => {
                    let end = case.pass(Duration::from_millis(ms));
                    if matches!(end, Some(End::Late(_))) {
                        closed = Some(case.tip());
                    }
                    end
                }
            };
            let headers = case.ahead.headers();
            prop_assert_eq!(case.ahead.due().is_some(), !headers.is_empty());
            prop_assert!(end.is_none() || headers.is_empty());
            if headers.is_empty() {
                off_since = None;
                continue;
            }
            let ahead = case.window.look_ahead(&headers, Some(CLOCK));
            prop_assert!(ahead.is_ok(), "{:?}", ahead);
            prop_assert_eq!(ahead.unwrap().work, case.ahead.work);
            prop_assert!(headers.len() <= MOST);
            let since = *off_since.get_or_insert(case.now);
            let due = case.ahead.due().unwrap();
            prop_assert!(due > case.now, "the time is up");
            // What remains of a confirmed chain came before the confirmation.
            prop_assert!(due <= since + LONGEST);
        }
    }
}
