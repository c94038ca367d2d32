#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vaultsecret_operator::fuzzing::template(input));
