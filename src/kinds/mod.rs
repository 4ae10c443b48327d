//! Floor 4: one file per recipe kind: what it may say, what it declares, how it runs. Kinds never see the store.
