"""Families of published checkpoints: their settings are those that `transformers` has for them."""

import pytest
from transformers import CONFIG_MAPPING

from components.lib.models.families import FAMILIES
from components.lib.models.loading import EXTRA, model_types


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_field_is_one_of_its_class(kind):
    family, known = FAMILIES[kind], CONFIG_MAPPING[kind]().to_dict().keys()
    assert family.fields <= known | EXTRA
    assert {*family.dropouts, *family.unkeyed} <= family.fields
    assert kind in model_types()
