"""The wiring of the API: which function serves which path, from one table."""

import re

from infrastructure.parts import Template, TemplateError

ROUTES = {
    "Login": ["/login", "/logout"],
    "Decrypt": ["/decrypt", "/phone", "/session", "/sign"],
    "Proxy": ["/api/{proxy+}", "/health", "/.well-known/jwks.json"],
    "Events": ["/events/{appid}"],
}
"""The paths that each Lambda function serves; app.py has the same routes, by method."""

FUNCTIONS = (*ROUTES, "Deliver")
"""All functions: the last one has no path, but reads the queue."""

CONDITIONS = {"Events": "HasEvents", "Deliver": "HasEvents"}
"""Of the functions, and with them of their paths, that not every stack has."""

_INVOKE = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"
_EXECUTE = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${RestAPI}/v1/*"


def wire(sam: Template) -> None:
    """Point each path at its function, which API Gateway may invoke for that path alone.

    Raises:
        TemplateError: naming the paths that app.py and ROUTES do not both have.
    """
    owners = {path: function for function, paths in ROUTES.items() for path in paths}
    paths = sam["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    if unmatched := sorted(owners.keys() ^ paths.keys()):
        raise TemplateError(f"app.py and ROUTES disagree about {', '.join(unmatched)}.")
    for path, function in owners.items():
        uri = {"Fn::Sub": f"{_INVOKE}/${{{function}Alias}}/invocations"}
        for method in paths[path].values():
            method["x-amazon-apigateway-integration"]["uri"] = uri
        paths[path]["x-amazon-apigateway-any-method"] = _any_method(uri)
        name = "".join(word.capitalize() for word in re.findall("[a-z]+", path))
        permission = sam["Resources"][f"{name}Permission"] = _permission(path, function)
        if condition := CONDITIONS.get(function):
            permission["Condition"] = condition
            paths[path] = {"Fn::If": [condition, paths[path], {"Ref": "AWS::NoValue"}]}


def _any_method(uri: Template) -> Template:
    """Let the function answer methods without a route, by 405 in the gate's shape."""
    return {
        "responses": {"200": {"description": "as the function says"}},
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "passthroughBehavior": "when_no_match",
            "contentHandling": "CONVERT_TO_TEXT",
            "uri": uri,
        },
    }


def _permission(path: str, function: str) -> Template:
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "FunctionName": {"Ref": f"{function}Alias"},
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
            "SourceArn": {"Fn::Sub": _EXECUTE + re.sub("{.+}", "*", path)},
        },
    }
