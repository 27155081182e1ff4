//! Bitcoin header rules, block checks, and template to job to block.
