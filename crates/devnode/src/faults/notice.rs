//! Faults of ZMQ notifications.

use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use super::when::{Seconds, When};

/// One rule of `[[zmq]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeRule {
    topic: TopicName,
    #[serde(default, skip_serializing_if = "When::is_always")]
    pub(super) when: When,
    pub(crate) fault: NoticeFault,
}

/// A topic, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum TopicName {
    Hashblock,
    Rawblock,
    Sequence,
    #[serde(rename = "*")]
    Any,
}

/// What is done to a message.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoticeFault {
    /// Not sent, as if nothing had happened: the counter stays.
    Silence,
    /// Not sent, but counted.
    Gap,
    /// Sent, after the counters of all topics went back to 0 as in a restarted node.
    Reset,
    /// Sent so many times more.
    Duplicate(NonZeroU8),
    /// Sent in another shape.
    Garbage(NoticeGarbage),
    /// Sent so much later, and all that follow too.
    DelayS(Seconds),
}

/// Shapes that Bitcoin Core's messages do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoticeGarbage {
    /// Without the counter.
    TwoParts,
    /// With an empty part more.
    FourParts,
    /// Half of the body.
    HalfBody,
    /// A body of the right size with other bytes.
    OtherBody,
    /// An empty body.
    EmptyBody,
    /// A counter of three bytes.
    ShortCounter,
    /// A topic that begins like the one subscribed to.
    LongTopic,
}

impl NoticeRule {
    pub(super) fn is_about(&self, topic: &str) -> bool {
        match self.topic {
            TopicName::Any => true,
            TopicName::Hashblock => topic == "hashblock",
            TopicName::Rawblock => topic == "rawblock",
            TopicName::Sequence => topic == "sequence",
        }
    }
}

impl NoticeGarbage {
    /// The frames in place of topic, body and counter.
    pub(crate) fn shape(self, mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match self {
            Self::TwoParts => frames.truncate(2),
            Self::FourParts => frames.push(Vec::new()),
            Self::HalfBody => {
                let half = frames[1].len() / 2;
                frames[1].truncate(half);
            }
            Self::OtherBody => {
                for byte in &mut frames[1] {
                    *byte = !*byte;
                }
            }
            Self::EmptyBody => frames[1].clear(),
            Self::ShortCounter => frames[2].truncate(3),
            Self::LongTopic => frames[0].push(b'2'),
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_differs_from_the_right_one() {
        let right = vec![b"rawblock".to_vec(), vec![1, 2, 3, 4], vec![0; 4]];
        for shape in [
            NoticeGarbage::TwoParts,
            NoticeGarbage::FourParts,
            NoticeGarbage::HalfBody,
            NoticeGarbage::OtherBody,
            NoticeGarbage::EmptyBody,
            NoticeGarbage::ShortCounter,
            NoticeGarbage::LongTopic,
        ] {
            let frames = shape.shape(right.clone());
            assert_ne!(frames, right, "{shape:?}");
            assert!(
                frames[0].starts_with(b"rawblock"),
                "it reaches the subscriber: {shape:?}"
            );
        }
    }
}
