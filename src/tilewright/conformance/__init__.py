"""Runs folders of test cases through compiled code and counts: passed, failed, refused; every case once."""
