"""JSON Schemas (2020-12) of the contract's messages, as Envoy's transcoder reads and writes them.

A member is called by its `json_name`; words of an enum are bare; a Timestamp is RFC 3339. What a validation rule says
(buf.validate) is what a request's member must be; in an answer every plain member is there, whatever its value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tools.contract_blocks import DOOR_PACKAGE, ENUM_FIELD, VALUE_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Schema = dict[str, Any]

MESSAGE_FIELD, FIELD_FIELD, NESTED_FIELD, NESTED_ENUM_FIELD = 4, 2, 3, 4
"""Of FileDescriptorProto and DescriptorProto: the paths of comments."""
VIN_RULE = "^[A-HJ-NPR-Z0-9]{17}$"
EITHER_CASE = "^[A-HJ-NPR-Za-hj-npr-z0-9]{17}$"
"""What REST takes for it: a VIN is upper-cased on entry."""
TIME = ".google.protobuf.Timestamp"
ANY_VALUE = ".google.protobuf.Value"
_SENT = "Input"
"""How a component's name ends that is sent, where its message is answered with, too."""
_IS_THERE = r"(has\(this\.\w+\)|this\.\w+\.size\(\) > 0)"
_NAMES_SOMETHING = re.compile(rf"{_IS_THERE}( \|\| {_IS_THERE})*")
"""A rule that one of several members is there."""
_NULLABLE = re.compile(r"^A (?P<enum>\w+)'s name, or null\.")
_Type = FieldDescriptorProto
_PLAIN: dict[int, Schema] = {
    _Type.TYPE_STRING: {"type": "string"},
    _Type.TYPE_BOOL: {"type": "boolean"},
    _Type.TYPE_INT32: {"type": "integer", "format": "int32"},
    _Type.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    _Type.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _Type.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}


class SchemaSource:
    """Makes schemas of the messages in the descriptor set `image`, which has its comments.

    `rules` is the extension buf.validate.field, `message_rules` that of messages. Messages are those of `package`; what
    is made of them is called by `prefix` and their name.
    """

    package = DOOR_PACKAGE
    prefix = ""
    plain: Mapping[int, Schema] = _PLAIN
    """What a field of a type of its own is, by FieldDescriptorProto's numbers."""
    are_requests_closed = True
    """Whether a request has no member that its message lacks."""
    are_zeros_told = False
    """Whether an enum's first value, which says nothing, is written."""

    def __init__(self, image: Any, rules: Any, message_rules: Any) -> None:
        self._rules, self._message_rules = rules, message_rules
        self._messages: dict[str, tuple[Any, str]] = {}
        self._enums: dict[str, tuple[Any, dict[int, str]]] = {}
        self._comments: dict[tuple[str, str], str] = {}
        self._json_names: dict[str, str] = {}
        for file in image.file:
            if file.package == self.package:
                self._read(file)
        self._made: dict[str, Schema] = {}
        self._answered = self._reached(
            method.output_type
            for file in image.file
            if file.package == DOOR_PACKAGE
            for service in file.service
            for method in service.method
        )

    def _reached(self, messages: Iterable[str]) -> frozenset[str]:
        """Return the messages, of this contract, that these are or hold."""
        found: set[str] = set()
        waiting = list(messages)
        while waiting:
            message = waiting.pop()
            if message in self._messages and message not in found:
                found.add(message)
                waiting += [field.type_name for field in self.fields_of(message)]
        return frozenset(found)

    def _read(self, file: Any) -> None:
        said = {tuple(place.path): prose(place.leading_comments) for place in file.source_code_info.location}
        for i, message in enumerate(file.message_type):
            self._read_message(f".{file.package}", message, (MESSAGE_FIELD, i), said)
        for i, enum in enumerate(file.enum_type):
            self._read_enum(f".{file.package}", enum, (ENUM_FIELD, i), said)

    def _read_message(self, outside: str, message: Any, path: tuple[int, ...], said: dict[Any, str]) -> None:
        name = f"{outside}.{message.name}"
        self._messages[name] = (message, said.get(path, ""))
        for i, field in enumerate(message.field):
            self._json_names[field.name] = field.json_name
            self._comments[name, field.name] = said.get((*path, FIELD_FIELD, i), "")
        for i, nested in enumerate(message.nested_type):
            self._read_message(name, nested, (*path, NESTED_FIELD, i), said)
        for i, enum in enumerate(message.enum_type):
            self._read_enum(name, enum, (*path, NESTED_ENUM_FIELD, i), said)

    def _read_enum(self, outside: str, enum: Any, path: tuple[int, ...], said: dict[Any, str]) -> None:
        values = {v.number: said.get((*path, VALUE_FIELD, i), "") for i, v in enumerate(enum.value)}
        self._enums[f"{outside}.{enum.name}"] = (enum, values)

    @property
    def made(self) -> dict[str, Schema]:
        """The component schemas that were referred to, by their names."""
        return dict(sorted(self._made.items()))

    def fields_of(self, message: str) -> list[Any]:
        """Return a message's fields."""
        return list(self._messages[message][0].field)

    def as_json(self, text: str) -> str:
        """Return a comment with fields called as in JSON."""
        return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", lambda m: self._json_names.get(m[0], m[0]), text)

    def of_request(self, message: str) -> Schema:
        """Return a reference to the schema of a message that is sent: closed, and what its rules ask for required."""
        return self._reference(message, is_request=True)

    def of_answer(self, message: str) -> Schema:
        """Return a reference to the schema of a message that is answered with."""
        return self._reference(message, is_request=False)

    def described(self, message: str) -> str:
        """Return a message's comment."""
        return self.as_json(self._messages[message][1])

    def words_of(self, message: str, field: str) -> list[str]:
        """Return the texts that the rules of a list of texts allow."""
        (found,) = (each for each in self.fields_of(message) if each.name == field)
        return list(getattr(found.options.Extensions[self._rules].repeated.items.string, "in"))

    def values_of(self, enum: str) -> list[str]:
        """Return the names of an enum's values, but for the first, which says nothing."""
        return [value.name for value in self._enums[enum][0].value if value.number]

    def comment_of_value(self, enum: str, name: str) -> str:
        """Return the comment of an enum's value."""
        described, comments = self._enums[enum]
        return next(self.as_json(comments[value.number]) for value in described.value if value.name == name)

    def name_of(self, message: str) -> str:
        """Return what a message or an enum is called among the components: `CommandStageName`."""
        local = message.removeprefix(f".{self.package}.").removesuffix(".Value").replace(".", "")
        return f"{self.prefix}{local}"

    def _reference(self, message: str, *, is_request: bool) -> Schema:
        name = self.name_of(message)
        if is_request and message in self._answered:  # what may be sent is less than what may be answered
            name += _SENT
        if name not in self._made:
            self._made[name] = {}
            self._made[name] = self._of_message(message, is_request=is_request)
        return {"$ref": f"#/components/schemas/{name}"}

    def _of_message(self, message: str, *, is_request: bool) -> Schema:
        described, comment = self._messages[message]
        properties, required = {}, []
        for field in described.field:
            properties[field.json_name] = self.of_field(message, field, is_request=is_request)
            if self.is_required(field) if is_request else _is_always_told(field):
                required.append(field.json_name)
        cel = described.options.Extensions[self._message_rules].cel
        rules = [f"{rule.message[:1].upper()}{rule.message[1:]}." for rule in cel]
        schema: Schema = {"type": "object"}
        if is_request and any(_NAMES_SOMETHING.fullmatch(rule.expression) for rule in cel):
            schema["minProperties"] = 1
        said = " ".join((comment, *rules)).strip()
        if said:
            schema["description"] = self.as_json(said)
        schema["properties"] = properties
        if required:
            schema["required"] = required
        if is_request and self.are_requests_closed:
            schema["additionalProperties"] = False
        return schema

    def is_required(self, field: Any) -> bool:
        """Return whether a request without this field breaks its rules."""
        rule = field.options.Extensions[self._rules]
        if rule.required:
            return True
        if field.proto3_optional or (field.label == _Type.LABEL_REPEATED and not rule.repeated.min_items):
            return False
        if field.label == _Type.LABEL_REPEATED:
            return True
        if field.type == _Type.TYPE_INT32:
            return bool(rule.int32.gte > 0)
        if field.type == _Type.TYPE_ENUM:
            allowed = set(getattr(rule.enum, "in"))
            return 0 in rule.enum.not_in or bool(allowed and 0 not in allowed)
        text = rule.string
        may_be_empty = not text.pattern or re.search(text.pattern, "") is not None
        return bool(text.const or text.min_len or getattr(text, "in") or not may_be_empty)

    def of_field(self, message: str, field: Any, *, is_request: bool) -> Schema:
        """Return the schema of a message's field, with its comment."""
        comment = self._comments[message, field.name]
        rule = field.options.Extensions[self._rules]
        if field.label == _Type.LABEL_REPEATED:
            schema: Schema = {
                "type": "array",
                "items": self._of_value(field, rule.repeated.items, comment, is_request=is_request),
            }
            if is_request:
                schema |= _bounds(rule.repeated, minItems="min_items", maxItems="max_items")
                if rule.repeated.unique:
                    schema["uniqueItems"] = True
        else:
            schema = self._of_value(field, rule, comment, is_request=is_request)
        said = " ".join((comment, *self._more_rules(rule, is_request=is_request))).strip()
        return {**schema, "description": self.as_json(said)} if said else schema

    def _more_rules(self, rule: Any, *, is_request: bool) -> Iterator[str]:
        if is_request:
            for each in rule.cel:
                yield f"{each.message[:1].upper()}{each.message[1:]}."

    def _of_value(self, field: Any, rule: Any, comment: str, *, is_request: bool) -> Schema:
        if field.type == _Type.TYPE_ENUM:
            return self._of_enum(field.type_name, rule if is_request else None)
        if field.type == _Type.TYPE_MESSAGE:
            if field.type_name == TIME:
                return {"type": "string", "format": "date-time"}
            if field.type_name == ANY_VALUE:
                return self._nullable(field, comment)
            return self._reference(field.type_name, is_request=is_request)
        schema = dict(self.plain[field.type])
        return schema | self.of_rule(field, rule) if is_request else schema

    def _nullable(self, field: Any, comment: str) -> Schema:
        named = _NULLABLE.match(comment)
        if named is None:
            raise ValueError(
                f"say of {field.name}, a Value, which enum's name it is: \"A ...'s name, or null.\""
            )
        return {"anyOf": [self._of_enum(f".{DOOR_PACKAGE}.{named['enum']}.Value", None), {"type": "null"}]}

    def of_rule(self, field: Any, rule: Any) -> Schema:
        """Return what a rule of a plain field says as members of its schema."""
        schema: Schema = {}
        if field.type == _Type.TYPE_STRING:
            text = rule.string
            if text.const:
                schema["const"] = text.const
            if getattr(text, "in"):
                schema["enum"] = list(getattr(text, "in"))
            if text.pattern:
                schema["pattern"] = EITHER_CASE if text.pattern == VIN_RULE else text.pattern
            schema |= _bounds(text, minLength="min_len", maxLength="max_len")
        if field.type == _Type.TYPE_INT32:
            schema |= _bounds(
                rule.int32, minimum="gte", maximum="lte", exclusiveMinimum="gt", exclusiveMaximum="lt"
            )
        return schema

    def _of_enum(self, enum: str, rule: Any) -> Schema:
        described, comments = self._enums[enum]
        allowed = set(getattr(rule.enum, "in")) if rule is not None else set()
        if allowed:
            return {"type": "string", "enum": [v.name for v in described.value if v.number in allowed]}
        name = self.name_of(enum)
        if name not in self._made:
            values = [value for value in described.value if value.number or self.are_zeros_told]
            meanings = [
                f"- `{v.name}`: {self.as_json(comments[v.number])}" for v in values if comments[v.number]
            ]
            self._made[name] = {"type": "string", "enum": [v.name for v in values]}
            if meanings:
                self._made[name]["description"] = "\n".join(meanings)
        return {"$ref": f"#/components/schemas/{name}"}


def prose(comment: str) -> str:
    """Return a comment as paragraphs of one line each."""
    paragraphs = re.split(r"\n[ \t]*\n", comment.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _is_always_told(field: Any) -> bool:
    """Return whether the transcoder writes the field whatever its value (always_print_primitive_fields)."""
    if field.label == _Type.LABEL_REPEATED:
        return True
    return (
        field.type != _Type.TYPE_MESSAGE and not field.proto3_optional and not field.HasField("oneof_index")
    )


def _bounds(rule: Any, **members: str) -> Schema:
    return {ours: getattr(rule, theirs) for ours, theirs in members.items() if rule.HasField(theirs)}
