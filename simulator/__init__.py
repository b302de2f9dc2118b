"""The surroundings of wxgate on your desk: WeChat, AWS, upstream, API Gateway. Never packaged."""
