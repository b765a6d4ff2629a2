//! Which events a sink is put, by tag.

/// The operator's choice: `tags=A,B` and `not-tags=C`. What does not pass counts as durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagFilter {
    /// Only these, if there are any.
    pub tags: Vec<String>,
    /// None of these.
    pub not_tags: Vec<String>,
}

impl TagFilter {
    /// Whether events of this tag pass.
    pub fn passes(&self, tag: &str) -> bool {
        let named = |tags: &[String]| tags.iter().any(|named| named == tag);
        (self.tags.is_empty() || named(&self.tags)) && !named(&self.not_tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_tags_pass_and_excluded_ones_do_not() {
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        assert!(TagFilter::default().passes("A"));
        let only = TagFilter { tags: tags(&["A", "B"]), not_tags: tags(&["B"]) };
        assert!(only.passes("A") && !only.passes("B") && !only.passes("C"));
        let not = TagFilter { tags: tags(&[]), not_tags: tags(&["B"]) };
        assert!(not.passes("A") && !not.passes("B"));
    }
}
