mod outbox; pub use outbox::Outbox;
