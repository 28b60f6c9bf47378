//! Bytes that are lent to connections out of a fixed sum.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What is left to lend.
#[derive(Debug)]
pub(crate) struct Budget {
    free: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { free: AtomicU64::new(bytes) })
    }

    /// Lends nothing yet, to a borrower who may come for more.
    pub(crate) fn open(self: &Arc<Self>) -> Loan {
        Loan { budget: self.clone(), bytes: AtomicU64::new(0) }
    }

    #[cfg(test)]
    fn free(&self) -> u64 {
        self.free.load(Relaxed)
    }
}

/// Bytes lent to one borrower, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Loan {
    /// Bytes lent now.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Lends `more`, unless that is over the `share`th part of what is left: so there is always something left for others.
    pub(crate) fn extend(&self, more: u64, share: u64) -> bool {
        let take = |free: u64| (more <= free / share).then(|| free - more);
        let lent = self.budget.free.fetch_update(Relaxed, Relaxed, take).is_ok();
        if lent {
            self.bytes.fetch_add(more, Relaxed);
        }
        lent
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.budget.free.fetch_add(*self.bytes.get_mut(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_never_takes_more_than_its_share_and_all_comes_back() {
        let budget = Budget::new(1000);
        let one = budget.open();
        assert!(!one.extend(501, 2) && one.extend(500, 2));
        let two = budget.open();
        assert!(!two.extend(251, 2) && two.extend(250, 2));
        assert_eq!((one.bytes(), two.bytes(), budget.free()), (500, 250, 250));
        drop(one);
        assert!(two.extend(300, 2));
        drop(two);
        assert_eq!(budget.free(), 1000);
    }

    // However many come, what is lent stays within the sum, and the next still gets something.
    #[test]
    fn a_thousand_borrowers_leave_something() {
        let budget = Budget::new(1 << 28);
        let borrow = |_| {
            let loan = budget.open();
            (10..24).rev().find(|power| loan.extend(1 << power, 16));
            loan
        };
        let loans: Vec<_> = (0..1000).map(borrow).collect();
        let lent: u64 = loans.iter().map(Loan::bytes).sum();
        assert_eq!(lent + budget.free(), 1 << 28);
        assert!(budget.free() > 0 && loans[0].bytes() == 1 << 23);
    }
}
