//! OTP-grade supervision on actix.
