"""What a student writes where the library has no function of that form: signatures and formulas, without bodies."""
