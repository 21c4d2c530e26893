"""uv installs from the indexes that pip is configured with."""

from __future__ import annotations

from synapse_agent.runner.environments.pip_config import uv_options, uv_settings


def home_with(tmp_path, text):
    """Return the variables of a user with that `pip.conf`, on a machine without one."""
    folder = tmp_path / ".config" / "pip"
    folder.mkdir(parents=True)
    (folder / "pip.conf").write_text(text)
    return {
        "HOME": str(tmp_path),
        "PIP_INDEX_URL": "https://index.test/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
    }


def test_the_variables_of_pip_become_those_of_uv():
    """Lists have uv's separators; as with pip, the best version of all indexes is installed."""
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "https://index.test/simple",
        "PIP_EXTRA_INDEX_URL": "https://one.test https://two.test",
        "PIP_FIND_LINKS": "/wheels /more",
        "PIP_TRUSTED_HOST": "index.test",
        "PIP_CERT": "/ca.pem",
    }
    assert uv_settings(environ) == {
        "UV_DEFAULT_INDEX": "https://index.test/simple",
        "UV_INDEX": "https://one.test https://two.test",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "index.test",
        "SSL_CERT_FILE": "/ca.pem",
    }


def test_uvs_own_variables_win():
    """This holds for uv's current and its former variables."""
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "https://pip.test/simple",
        "PIP_EXTRA_INDEX_URL": "https://pip.test/more",
        "UV_INDEX_URL": "https://uv.test/simple",
        "UV_INDEX": "https://uv.test/more",
        "UV_INDEX_STRATEGY": "first-index",
    }
    assert uv_settings(environ) == {}


def test_a_file_of_pips_is_read_and_its_variables_win(tmp_path):
    """The file may have values on several lines, percent signs, and settings for `pip install` only."""
    text = "[global]\nindex-url = https://file.test/simple\ncert = /ca%20.pem\n[install]\nno_index = true\n"
    environ = home_with(tmp_path, text)
    settings = uv_settings(environ)
    assert settings["UV_DEFAULT_INDEX"] == "https://index.test/simple"
    assert settings["SSL_CERT_FILE"] == "/ca%20.pem"
    assert uv_options(environ) == ("--no-index",)


def test_settings_for_installations_win_in_any_file(tmp_path):
    """As in pip, the section counts before the file."""
    environ = home_with(tmp_path, "[global]\ncert = /general.pem\n")
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[install]\ncert = /installs.pem\n[global]\nclient-cert = /me.pem\n")
    settings = uv_settings(environ)
    assert (settings["SSL_CERT_FILE"], settings["SSL_CLIENT_CERT"]) == ("/installs.pem", "/me.pem")


def test_a_named_file_of_pips_replaces_the_users(tmp_path):
    """`PIP_CONFIG_FILE` names it, if it exists; variables still take precedence."""
    environ = home_with(tmp_path, "[global]\ncert = /general.pem\n")
    named = tmp_path / "named.conf"
    environ["PIP_CONFIG_FILE"] = str(named)
    assert uv_settings(environ)["SSL_CERT_FILE"] == "/general.pem"
    named.write_text("[global]\nclient-cert = /named.pem\n")
    settings = uv_settings(environ)
    assert settings.get("SSL_CERT_FILE") != "/general.pem"
    assert settings["SSL_CLIENT_CERT"] == "/named.pem"


def test_a_broken_file_of_pips_is_passed_over(tmp_path):
    """Reporting it is left to pip."""
    assert uv_settings(home_with(tmp_path, "index-url = x"))["UV_DEFAULT_INDEX"] == "https://index.test/simple"


def test_without_any_setting_uv_is_left_alone():
    """uv's own defaults apply."""
    assert uv_settings({"PIP_CONFIG_FILE": "/dev/null"}) == {}
    assert uv_options({"PIP_CONFIG_FILE": "/dev/null"}) == ()
