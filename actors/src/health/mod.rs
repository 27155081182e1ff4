//! health: whether the program does what it is there for, per component and as a whole.

/// When a component counts as unhealthy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthThresholds {
    /// Least hash rate of a scanning thread as a share of the best it has shown, 0 to 1.
    pub performance_min: f64,
}
