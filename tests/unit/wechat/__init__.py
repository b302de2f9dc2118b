"""Tests of chalicelib/wechat."""
