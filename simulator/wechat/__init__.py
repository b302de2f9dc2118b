"""A WeChat to develop and test against: its server, a user's phone, and switches to upset it."""

from simulator.wechat.accounts import appsecret_of, openid_of, unionid_of
from simulator.wechat.faces import WeChat
from simulator.wechat.push import push_secret_of
from simulator.wechat.wire import Server, serve

__all__ = ["Server", "WeChat", "appsecret_of", "openid_of", "push_secret_of", "serve", "unionid_of"]
